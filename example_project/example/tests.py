# ruff: noqa: PT009, PT027
"""Tests of the commands, logins, health check and an unavailable database."""

from __future__ import annotations

from io import StringIO

from django.contrib.auth import get_user_model
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError, connection
from django.test import Client, RequestFactory, SimpleTestCase, TestCase, override_settings

from billing.models import Invoice
from closient_auth.models import ApiKey, Membership, Organization
from example.demo_keys import get_requests, make_keys
from example.environment import get_cache, get_database
from example.views import server_error
from products.models import Offer, Product

PRODUCTS = "/products/api/v1/products"


def load_demo(**options: object) -> None:
    call_command("load_demo", stdout=StringIO(), **options)


class LoadDemoTests(TestCase):
    def test_twice(self) -> None:
        models = (get_user_model(), Organization, Membership, Product, Offer, Invoice)
        counts = []
        for _ in range(2):
            load_demo(password="demo")
            counts.append([model.objects.count() for model in models])
        self.assertEqual(counts, [[8, 2, 8, 9, 11, 6]] * 2)

    def test_every_role_in_each_organization(self) -> None:
        load_demo(password="demo")
        roles = set(Membership.objects.values_list("organization__slug", "user__username", "role"))
        self.assertEqual(
            roles,
            {
                ("alpine-outdoor", "ada", "owner"),
                ("alpine-outdoor", "mia", "manager"),
                ("alpine-outdoor", "bea", "billing"),
                ("alpine-outdoor", "eli", "editor"),
                ("harbor-coffee", "oli", "owner"),
                ("harbor-coffee", "max", "manager"),
                ("harbor-coffee", "ben", "billing"),
                ("harbor-coffee", "ada", "editor"),
            },
        )

    def test_gives_roles_back(self) -> None:
        load_demo(password="demo")
        alpine = Organization.objects.get(slug="alpine-outdoor")
        alpine.memberships.get(user__username="eli").change_role("owner")
        alpine.memberships.get(user__username="ada").change_role("editor")

        load_demo(password="demo")

        roles = dict(alpine.memberships.values_list("user__username", "role"))
        self.assertEqual(roles, {"ada": "owner", "mia": "manager", "bea": "billing", "eli": "editor"})

    def test_password(self) -> None:
        with self.assertRaises(CommandError):
            load_demo()
        self.assertFalse(get_user_model().objects.exists())
        with override_settings(DEBUG=True):
            load_demo()
        self.assertTrue(Client().login(username="admin", password="demo"))
        load_demo(password="changed")
        self.assertTrue(Client().login(username="eli", password="demo"))


class DemoKeysTests(TestCase):
    def test_new_keys_revoke_the_last_ones(self) -> None:
        load_demo(password="demo")
        other, _ = ApiKey.objects.create_key(
            prefix="csb", organization=Organization.objects.first(), name="Not for demos"
        )
        make_keys()
        before = set(ApiKey.objects.active())

        make_keys()

        after = set(ApiKey.objects.active())
        self.assertEqual((len(before), len(after), before & after), (5, 5, {other}))

    def test_requests_show_each_status(self) -> None:
        load_demo(password="demo")
        requests = get_requests("http://127.0.0.1:8000", make_keys())
        self.assertEqual([request.status for request in requests], [200, 200, 201, 200, 401, 403, 404, 429])


class SiteTests(TestCase):
    def test_health_is_public_and_asks_no_server(self) -> None:
        for headers in ({}, {"X-API-Key": "csb_nonsense"}):
            with self.assertNumQueries(0):
                response = self.client.get("/health", headers=headers)
            self.assertEqual((response.status_code, response.json()), (200, {"status": "ok"}))

    def test_session_login(self) -> None:
        load_demo(password="demo")
        response = self.client.post(
            "/session/login/", {"username": "eli", "password": "demo"}, headers={"Accept": "text/html"}, follow=True
        )
        self.assertEqual((response.status_code, response.request["PATH_INFO"]), (200, PRODUCTS))
        self.assertContains(response, "Ridge 2 tent")

    def test_session_writes_need_the_csrf_token(self) -> None:
        load_demo(password="demo")
        client = Client(enforce_csrf_checks=True)
        client.force_login(get_user_model().objects.get(username="eli"))
        response = client.post(PRODUCTS, {"name": "Poles", "gtin": "9521000010062"})
        self.assertContains(response, "CSRF", status_code=403)

    def test_admin(self) -> None:
        load_demo(password="demo")
        self.client.force_login(get_user_model().objects.get(username="admin"))
        for page in (
            "",
            "products/product/",
            "billing/invoice/",
            "closient_auth/apikey/",
            "closient_auth/organization/",
        ):
            self.assertEqual(self.client.get(f"/admin/{page}").status_code, 200)


class DatabaseAwayTests(TestCase):
    """A client keeps its key, and knows to retry."""

    def setUp(self) -> None:
        load_demo(password="demo")
        organization = Organization.objects.get(slug="alpine-outdoor")
        _, raw_key = ApiKey.objects.create_key(prefix="csb", organization=organization)
        self.with_key = Client(headers={"X-API-Key": raw_key})
        self.with_session = Client()
        self.with_session.force_login(get_user_model().objects.get(username="admin"))

    def get(self, client: Client, path: str, error: type[Exception]) -> int:
        def refuse(*args: object) -> None:
            raise error("server closed the connection unexpectedly")

        with connection.execute_wrapper(refuse), self.assertLogs("example", "ERROR"):
            response = client.get(path)
        self.assertEqual(response["Retry-After"], "5")
        self.assertEqual(response.json()["code"], "database_unavailable")
        return response.status_code

    def test_503_with_retry_after(self) -> None:
        for error in (OperationalError, InterfaceError):
            for client, path in (
                (self.with_key, PRODUCTS),
                (self.with_session, PRODUCTS),
                (self.with_session, "/admin/"),
            ):
                with self.subTest(error=error, path=path):
                    self.assertEqual(self.get(client, path, error), 503)

    def test_503_for_what_no_view_raised(self) -> None:
        def answer(error: Exception) -> int:
            try:
                raise error
            except type(error):
                return server_error(RequestFactory().get("/")).status_code

        with self.assertLogs("example", "ERROR"):
            self.assertEqual(answer(OperationalError()), 503)
        self.assertEqual(answer(KeyError()), 500)


class EnvironmentTests(SimpleTestCase):
    def test_database(self) -> None:
        url = "postgres://ann:p%40ss@db.example:5433/shop?sslmode=require"
        database = get_database(url, sqlite=None)
        self.assertEqual(
            [database[name] for name in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")],
            ["django.db.backends.postgresql", "shop", "ann", "p@ss", "db.example", 5433],
        )
        self.assertEqual(database["OPTIONS"]["sslmode"], "require")
        self.assertEqual(database["OPTIONS"]["connect_timeout"], 2)
        self.assertEqual(get_database("sqlite:////srv/shop.sqlite3", sqlite=None)["NAME"], "/srv/shop.sqlite3")
        with self.assertRaisesMessage(ValueError, "postgres://"):
            get_database("oracle://db.example/shop", sqlite=None)

    def test_cache(self) -> None:
        self.assertIn("LocMem", get_cache(None)["BACKEND"])
        self.assertEqual(get_cache("redis://cache.example:6379/0")["LOCATION"], "redis://cache.example:6379/0")


class AccountTests(TestCase):
    def test_invites_a_colleague(self) -> None:
        load_demo(password="demo")
        owner = Client()
        owner.force_login(get_user_model().objects.get(username="oli"))
        organization = Organization.objects.get(slug="harbor-coffee")
        address = f"/account/api/v1/organizations/{organization.pk}/invitations"

        with self.captureOnCommitCallbacks(execute=True):
            response = owner.post(address, {"email": "new@example.com"}, content_type="application/json")

        self.assertEqual((response.status_code, response.json()["status"]), (201, "pending"))
        self.assertEqual(mail.outbox[0].to, ["new@example.com"])

    def test_swagger_ui_is_of_this_server(self) -> None:
        page = self.client.get("/docs")
        self.assertContains(page, "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js")
        self.assertNotContains(page, "https://")
        self.assertRedirects(self.client.get("/docs/"), "/docs")
