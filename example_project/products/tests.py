# ruff: noqa: PT009
"""
Test the permissions of every route, and the separation of the organizations.

The tests use unittest, so ``python manage.py test`` runs them.
"""

from __future__ import annotations

from io import StringIO
from uuid import uuid4

from django.contrib.auth import get_user_model
from django.core.management import call_command
from rest_framework.test import APIClient, APITestCase

from closient_auth.keys import KeyType
from closient_auth.models import ApiKey, Organization
from products.models import Offer, Product

PRODUCTS = "/products/api/v1/products"
INVOICES = "/billing/api/v1/invoices"

REQUESTS = (
    ("get", PRODUCTS, {}),
    ("post", PRODUCTS, {"name": "Cairn trekking poles", "gtin": "9521000010062"}),
    ("get", PRODUCTS + "/{pk}", {}),
    ("patch", PRODUCTS + "/{pk}", {"name": "Ridge 2 tent, green"}),
    ("get", PRODUCTS + "/{pk}/offers", {}),
    ("post", PRODUCTS + "/{pk}/offers", {"price": "89.00", "currency": "CHF"}),
    ("get", INVOICES, {}),
    ("delete", PRODUCTS + "/{pk}", {}),
)

# One column for each of REQUESTS, all on Alpine Outdoor. Each member is tested with a session and with a key.
TABLE = {
    "nobody":              (401, 401, 401, 401, 401, 401, 401, 401),
    "outsider":            (404, 404, 404, 404, 404, 404, 404, 404),
    "owner":               (200, 201, 200, 200, 200, 201, 200, 204),
    "manager":             (200, 201, 200, 200, 200, 201, 200, 204),
    "billing":             (200, 403, 200, 403, 200, 403, 200, 403),
    "editor":              (200, 201, 200, 200, 200, 201, 403, 204),
    "superuser":           (200, 201, 200, 200, 200, 201, 200, 204),
    "key of a superuser":  (404, 404, 404, 404, 404, 404, 404, 404),
    "business key":        (200, 201, 200, 200, 200, 201, 200, 204),
    "publishable key":     (200, 403, 200, 403, 200, 403, 403, 403),
    "key of other tenant": (404, 404, 404, 404, 404, 404, 404, 404),
}  # fmt: skip
PEOPLE = {"outsider": "oli", "owner": "ada", "manager": "mia", "billing": "bea", "editor": "eli"}
IN_ALPINE = {"X-Organization": "alpine-outdoor"}


class DemoTestCase(APITestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        call_command("load_demo", password="demo", stdout=StringIO())
        cls.alpine = Organization.objects.get(slug="alpine-outdoor")
        cls.harbor = Organization.objects.get(slug="harbor-coffee")
        cls.tent = Product.objects.get(name="Ridge 2 tent")
        cls.espresso = Product.objects.get(name="Breakwater espresso, 1 kg")

    def client_with(self, prefix: str, headers: dict[str, str] | None = None, **holder: object) -> APIClient:
        _, raw_key = ApiKey.objects.create_key(prefix=prefix, **holder)
        return APIClient(headers={"X-API-Key": raw_key, **(headers or {})})


class TableTests(DemoTestCase):
    def test_table(self) -> None:
        for caller, expected in TABLE.items():
            for number, client in enumerate(self.get_clients(caller)):
                with self.subTest(caller, client=number):
                    self.assertEqual(tuple(self.send(client, *request) for request in REQUESTS), expected)

    def get_clients(self, caller: str) -> list[APIClient]:
        match caller:
            case "nobody":
                return [APIClient(), APIClient(headers=IN_ALPINE)]
            case "superuser":
                return [self.session_of("admin")]
            case "key of a superuser":
                return [self.key_of("admin")]
            case "business key":
                return [self.client_with(KeyType.BUSINESS, organization=self.alpine)]
            case "publishable key":
                return [self.client_with(KeyType.PUBLISHABLE, organization=self.alpine)]
            case "key of other tenant":
                return [self.client_with(KeyType.BUSINESS, IN_ALPINE, organization=self.harbor)]
        return [self.session_of(PEOPLE[caller]), self.key_of(PEOPLE[caller])]

    def session_of(self, username: str) -> APIClient:
        client = APIClient(headers=IN_ALPINE)
        client.force_login(get_user_model().objects.get(username=username))
        return client

    def key_of(self, username: str) -> APIClient:
        return self.client_with(KeyType.USER, IN_ALPINE, user=get_user_model().objects.get(username=username))

    def send(self, client: APIClient, method: str, path: str, body: dict[str, str]) -> int:
        product = self.alpine.products.create(name="A tent", gtin="9521000010017")
        before = self.get_rows()
        response = getattr(client, method)(path.format(pk=product.pk), body)
        if response.status_code >= 400 or method == "get":
            self.assertEqual(self.get_rows(), before)
        else:
            self.assertNotEqual(self.get_rows(), before)
        return response.status_code

    def get_rows(self) -> list[list[tuple[object, ...]]]:
        return [list(model.objects.order_by("pk").values_list()) for model in (Product, Offer)]


class TenantTests(DemoTestCase):
    """Rows of another organization return 404."""

    def setUp(self) -> None:
        self.client = self.client_with(KeyType.BUSINESS, organization=self.alpine)

    def test_list_holds_no_others(self) -> None:
        response = self.client.get(PRODUCTS)

        names = {row["name"] for row in response.json()["results"]}
        self.assertEqual(names, set(self.alpine.products.values_list("name", flat=True)))
        self.assertNotIn(self.espresso.name, names)

    def test_another_organizations_product_is_one_that_never_was(self) -> None:
        for method, path, body in REQUESTS:
            if "{pk}" not in path:
                continue
            with self.subTest(method=method, path=path):
                there = getattr(self.client, method)(path.format(pk=self.espresso.pk), body)
                nowhere = getattr(self.client, method)(path.format(pk=uuid4()), body)
                self.assertEqual((there.status_code, there.content), (404, nowhere.content))
        self.espresso.refresh_from_db()
        self.assertEqual(self.espresso.offers.count(), 2)

    def test_body_does_not_say_whose_product_it_is(self) -> None:
        body = {"name": "Poles", "gtin": "9521000010062", "organization": str(self.harbor.pk)}

        created = self.client.post(PRODUCTS, body).json()
        self.client.patch(f"{PRODUCTS}/{created['id']}", {"organization": str(self.harbor.pk)})

        self.assertEqual(Product.objects.get(pk=created["id"]).organization, self.alpine)

    def test_body_does_not_say_whose_offer_it_is(self) -> None:
        body = {"price": "1.00", "currency": "CHF", "product": str(self.espresso.pk)}

        created = self.client.post(f"{PRODUCTS}/{self.tent.pk}/offers", body).json()

        self.assertEqual(Offer.objects.get(pk=created["id"]).product, self.tent)

    def test_one_person_in_two_organizations(self) -> None:
        ada = get_user_model().objects.get(username="ada")
        for organization, status in ((self.alpine, 200), (self.harbor, 403)):
            client = self.client_with(KeyType.USER, {"X-Organization": organization.slug}, user=ada)
            self.assertEqual(client.get(INVOICES).status_code, status)
        response = self.client_with(KeyType.USER, user=ada).get(INVOICES)
        self.assertEqual((response.status_code, response.json()["code"]), (400, "organization_required"))


class CatalogueTests(DemoTestCase):
    def setUp(self) -> None:
        self.client = self.client_with(KeyType.BUSINESS, organization=self.alpine)

    def test_pages(self) -> None:
        for number in range(120):
            self.alpine.products.create(name=f"Peg {number:03}", gtin="9521000010017")
        for query, rows in (("", 25), ("?page_size=50", 50), ("?page_size=1000", 100)):
            self.assertEqual(len(self.client.get(PRODUCTS + query).json()["results"]), rows)
        self.assertEqual(self.client.get(f"{PRODUCTS}?page=99").status_code, 404)
        for query in ("page=", "page=0", "page_size=x"):
            self.assertEqual(self.client.get(f"{PRODUCTS}?{query}").status_code, 400)

    def test_gtin(self) -> None:
        good = {"95200002": 201, "952100001001": 400, "9521000010017": 201, "09521000010017": 201}
        bad = dict.fromkeys(["", "1", "9521000010018", "952100001001x", "٩٥٢١٠٠٠٠١٠٠١٧", "95210000100170"], 400)
        for gtin, status in (good | bad).items():
            with self.subTest(gtin):
                self.assertEqual(self.client.post(PRODUCTS, {"name": "Poles", "gtin": gtin}).status_code, status)

    def test_offer(self) -> None:
        path = f"{PRODUCTS}/{self.tent.pk}/offers"
        for body in ({"price": "-1"}, {"currency": "chf"}, {"link": "javascript:alert(1)"}, {"availability": "maybe"}):
            with self.subTest(body):
                response = self.client.post(path, {"price": "89.00", "currency": "CHF", **body})
                self.assertEqual((response.status_code, list(response.json())), (400, list(body)))
