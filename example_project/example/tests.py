# ruff: noqa: PT009, PT027
"""Tests of the commands, logins, health check and an unavailable database."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from io import StringIO
from unittest.mock import patch

from django.contrib.auth import get_user_model
from django.contrib.staticfiles import finders
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError, connection, connections
from django.db.models import Sum
from django.db.models.functions import TruncDay
from django.test import Client, RequestFactory, SimpleTestCase, TestCase, override_settings
from django.utils import timezone

from billing.models import Invoice
from closient_auth.keys import hash_api_key
from closient_auth.models import ApiKey, ApiKeyUsage, AuditEntry, Invitation, Membership, Organization
from example.demo_data import PEOPLE
from example.demo_history import at
from example.demo_keys import REQUESTS, make_keys
from example.environment import get_cache, get_database
from example.management.commands import serve_demo
from example.views import server_error
from products.models import Offer, Product

PRODUCTS = "/products/api/v1/products"


def load_demo(**options: object) -> None:
    call_command("load_demo", stdout=StringIO(), **options)


class LoadDemoTests(TestCase):
    def test_twice(self) -> None:
        models = (get_user_model(), Organization, Membership, Product, Offer, Invoice, ApiKey, Invitation)
        counts, others = [], []
        # At the same moment, because requests are added for each hour that passes.
        with at(0):
            for _ in range(2):
                load_demo(password="demo")
                counts.append([model.objects.count() for model in models])
                others.append([model.objects.count() for model in (ApiKeyUsage, AuditEntry)])
        self.assertEqual(counts, [[8, 2, 8, 9, 11, 6, 14, 1]] * 2)
        self.assertEqual(others[0], others[1])

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


class HistoryTests(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        load_demo(password="demo")
        cls.alpine = Organization.objects.get(slug="alpine-outdoor")

    def get_key(self, name: str) -> ApiKey:
        return self.alpine.api_keys.filter(name=name).latest("created_at")

    def test_keys_in_every_state(self) -> None:
        sync = self.get_key("ERP sync")
        self.assertEqual((sync.state, sync.rotated_from.state), ("active", "active"))
        self.assertEqual((sync.rotated_from.expires_at - timezone.now()).days, 2)
        self.assertEqual((self.get_key("Warehouse scanners").expires_at - timezone.now()).days, 6)
        self.assertIsNone(self.get_key("Price feed").last_used)
        self.assertEqual(self.get_key("Old web shop").state, "revoked")
        self.assertEqual(self.get_key("Shop window").allowed_origins, ["https://alpine-outdoor.example"])
        self.assertLess(self.get_key("Web shop").last_used, timezone.now())
        self.assertEqual([invitation.state for invitation in self.alpine.invitations.all()], ["pending"])

    def test_people_made_it(self) -> None:
        entries = AuditEntry.objects.all()
        self.assertEqual(set(entries.values_list("actor", flat=True)), {"ada", "eli", "max", "mia", "oli"})
        changed = entries.filter(event="member_changed").values_list("actor", "new_values__role").order_by("created_at")
        self.assertEqual(list(changed), [("ada", "editor"), ("ada", "billing")])
        self.assertGreater(timezone.now() - entries.earliest("created_at").created_at, timedelta(300))

    def test_thirty_days_of_requests(self) -> None:
        rows = ApiKeyUsage.objects.filter(family=self.get_key("Web shop").family)
        days = rows.annotate(day=TruncDay("hour")).values("day").annotate(sum=Sum("requests"), refused=Sum("refused"))
        self.assertIn(days.count(), (30, 31))
        self.assertEqual([row["day"].date() for row in days if row["refused"]], [timezone.now().date() - timedelta(9)])
        whole = [row for row in days.order_by("day") if not row["refused"]][1:-1]
        busy, quiet = (
            [row["sum"] for row in whole if (row["day"].weekday() < 5) == is_week] for is_week in (True, False)
        )
        self.assertGreater(min(busy), max(quiet))
        self.assertFalse(rows.filter(hour__gt=timezone.now()).exists())
        self.assertFalse(ApiKeyUsage.objects.filter(family=self.get_key("Price feed").family).exists())
        last = ApiKeyUsage.objects.filter(family=self.get_key("Old web shop").family).latest("hour").hour
        self.assertGreaterEqual(timezone.now() - last, timedelta(12))

    def test_a_later_start_adds_what_is_missing(self) -> None:
        rows = ApiKeyUsage.objects.all()
        end = timezone.now().replace(minute=0, second=0, microsecond=0)
        before = set(rows.values_list("family", "hour", "requests", "refused"))
        deleted, _ = rows.filter(family=self.get_key("ERP sync").family, hour__gte=end - timedelta(hours=3)).delete()
        self.assertGreaterEqual(deleted, 2)

        load_demo(password="demo")

        self.assertLessEqual(before, set(rows.values_list("family", "hour", "requests", "refused")))


class DemoKeysTests(TestCase):
    def test_new_keys_revoke_the_last_ones(self) -> None:
        load_demo(password="demo")
        loaded = set(ApiKey.objects.active())
        first = make_keys()
        renamed = ApiKey.objects.get(hashed_key=hash_api_key(first.slow))
        renamed.change(name="Renamed")
        before = set(ApiKey.objects.active())

        second = make_keys()

        after = set(ApiKey.objects.active())
        new = set(ApiKey.objects.filter(hashed_key__in=map(hash_api_key, vars(second).values())))
        self.assertEqual((len(new), after - before, after & before), (4, new, loaded & before))
        self.assertEqual(len(before - after), 4)
        self.assertNotIn(renamed, after)

    def test_new_keys_continue_the_history_and_forget_the_restrictions(self) -> None:
        load_demo(password="demo")
        loaded = ApiKey.objects.get(name="Web shop")
        loaded.change(rate_limit_per_minute=1, permissions=["organization.view_organization"])

        api_key = ApiKey.objects.get(hashed_key=hash_api_key(make_keys().business))

        self.assertEqual((api_key.family, api_key.rotated_from), (loaded.family, loaded))
        self.assertEqual((api_key.rate_limit_per_minute, api_key.permissions), (0, None))
        self.assertEqual(api_key.created_by.username, "ada")

    def test_requests_show_each_status(self) -> None:
        self.assertEqual([request.status for request in REQUESTS], [200, 200, 201, 200, 401, 403, 404, 429])

    def test_database_of_an_earlier_version(self) -> None:
        def refuse(*args: object) -> None:
            raise OperationalError("no such table: closient_auth_apikeyusage")

        with (
            connection.execute_wrapper(refuse),
            self.assertRaisesMessage(CommandError, "from an earlier version of the demo, delete it."),
        ):
            call_command("serve_demo")

    def test_output_fits_a_terminal(self) -> None:
        load_demo(password="demo")
        command = serve_demo.Command(stdout=(output := StringIO()), no_color=True)
        command.addr = "127.0.0.1"

        with patch.object(connections, "close_all"):
            command.on_bind(8000)

        lines = output.getvalue().splitlines()
        self.assertLessEqual(len(lines), 40)
        self.assertLessEqual(max(map(len, lines)), 100)
        self.assertEqual(lines[-1], "Serving on http://127.0.0.1:8000/. Press Ctrl-C to stop.")
        self.assertIn("  Dashboard  http://127.0.0.1:8000/settings/", output.getvalue())
        self.assertIn("ada (Owner), mia (Manager), bea (Billing), eli (Editor)", output.getvalue())


class SiteTests(TestCase):
    def test_health_is_public_and_asks_no_server(self) -> None:
        for headers in ({}, {"X-API-Key": "csb_nonsense"}):
            with self.assertNumQueries(0):
                response = self.client.get("/health", headers=headers)
            self.assertEqual((response.status_code, response.json()), (200, {"status": "ok"}))

    def test_session_login(self) -> None:
        load_demo(password="demo")
        page = self.client.get("/session/login/")
        self.assertContains(page, "closient-auth demo")
        self.assertNotContains(page, "Django REST framework")

        response = self.client.post("/session/login/", {"username": "eli", "password": "demo"}, follow=True)

        self.assertEqual((response.status_code, response.request["PATH_INFO"]), (200, "/"))
        self.assertContains(response, "You are signed in as <strong>Eli Novak</strong> (eli).")
        self.assertRedirects(self.client.post("/session/logout/"), "/")
        self.assertNotContains(self.client.get("/"), "You are signed in")

    def test_wrong_password(self) -> None:
        load_demo(password="demo")
        response = self.client.post("/session/login/", {"username": "eli", "password": "wrong", "next": "/docs"})
        self.assertContains(response, "Please enter a correct username and password.")
        self.assertContains(response, '<input type="hidden" name="next" value="/docs">', html=True)

    def test_start_page_leads_to_the_other_pages(self) -> None:
        load_demo(password="demo")
        ada = Client()
        ada.force_login(get_user_model().objects.get(username="ada"))
        page = ada.get("/")
        for path in ("/settings/", PRODUCTS, "/docs", "/admin/"):
            self.assertContains(page, f'<a href="{path}">')
        for path, status in (("/settings/", 200), ("/docs", 200), ("/admin/", 302)):
            self.assertEqual(ada.get(path).status_code, status)

    def test_start_page_names_people_and_the_password_with_debug_alone(self) -> None:
        load_demo(password="demo")
        page = self.client.get("/")
        self.assertNotContains(page, "password")
        self.assertNotContains(page, "Lindqvist")
        with override_settings(DEBUG=True), self.assertNumQueries(3):
            page = self.client.get("/")
        self.assertContains(page, "The password of every person is <code>demo</code>.")
        self.assertContains(page, "Owner of Alpine Outdoor<br>Editor of Harbor Coffee")
        for username in [*PEOPLE, "admin"]:
            self.assertContains(page, f'<th scope="row"><code>{username}</code></th>')

    def test_favicon(self) -> None:
        response = self.client.get("/favicon.ico")
        self.assertRedirects(response, "/static/example/favicon.svg", fetch_redirect_response=False)
        self.assertIsNotNone(finders.find("example/favicon.svg"))

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


class BrowserOrganizationTests(TestCase):
    """A person in two organizations gets on in the browser, which cannot send ``X-Organization``."""

    @classmethod
    def setUpTestData(cls) -> None:
        load_demo(password="demo")
        cls.ada = get_user_model().objects.get(username="ada")

    def setUp(self) -> None:
        self.client = Client(headers={"Accept": "text/html,*/*;q=0.8"}, enforce_csrf_checks=True)
        self.client.force_login(self.ada)

    def test_clicks_through(self) -> None:
        page = self.client.get(f"{PRODUCTS}?page_size=2")
        self.assertEqual(page.status_code, 400)
        links = re.findall('<li><a href="([^"]+)">(Alpine Outdoor|Harbor Coffee)</a></li>', page.text)
        self.assertEqual([name for _, name in links], ["Alpine Outdoor", "Harbor Coffee"])

        page = self.client.get(PRODUCTS + unescape(links[1][0]))

        self.assertEqual(page.status_code, 200)
        self.assertEqual(
            [row["name"] for row in page.data["results"]], ["Breakwater espresso, 1 kg", "Lighthouse filter, 250 g"]
        )
        self.assertIn("organization=harbor-coffee", page.data["next"])
        self.assertContains(page, "Organization: <strong>harbor-coffee</strong>.")

    def test_superuser(self) -> None:
        self.client.force_login(get_user_model().objects.get(username="admin"))
        page = self.client.get(PRODUCTS)
        self.assertContains(page, '<input class="form-control" id="organization" name="organization"', status_code=400)
        self.assertContains(self.client.get(f"{PRODUCTS}?organization=alpine-outdoor"), "Ridge 2 tent")

    def test_form_of_the_page(self) -> None:
        path = f"{PRODUCTS}?organization=harbor-coffee"
        page = self.client.get(path)
        body = {"name": "Filter papers", "gtin": "9521000020054"}
        self.assertEqual(self.client.post(path, body).status_code, 403)
        self.assertFalse(Product.objects.filter(name="Filter papers").exists())

        token = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', page.text)[1]
        self.assertEqual(self.client.post(path, {**body, "csrfmiddlewaretoken": token}).status_code, 201)
        self.assertEqual(Product.objects.get(name="Filter papers").organization.slug, "harbor-coffee")

    def test_foreign_organization(self) -> None:
        Organization.objects.create_organization(name="Umbra", owner=get_user_model().objects.get(username="eli"))
        foreign, unknown = (self.client.get(f"{PRODUCTS}?organization={name}") for name in ("umbra", "nobody"))
        self.assertEqual((foreign.status_code, unknown.status_code), (404, 404))
        self.assertEqual(foreign.data, unknown.data)

    def test_is_no_name_for_programs(self) -> None:
        path = f"{PRODUCTS}?organization=harbor-coffee"
        _, raw_key = ApiKey.objects.create_key(prefix="csu", user=self.ada)
        for headers in ({"Accept": "application/json"}, {"X-API-Key": raw_key}):
            with self.subTest(headers):
                self.assertEqual(self.client.get(path, headers=headers).status_code, 400)
        # The header counts, not the parameter.
        page = self.client.get(path, headers={"X-Organization": "alpine-outdoor"})
        self.assertEqual(page.data["count"], 5)

    def test_what_is_no_name(self) -> None:
        for query in ("organization=", "organization=%00", "organization=a&organization=b", "organization=%C3%A9"):
            with self.subTest(query):
                self.assertEqual(self.client.get(f"{PRODUCTS}?{query}").status_code, 400)

    def test_name_of_a_key(self) -> None:
        alpine = Organization.objects.get(slug="alpine-outdoor")
        _, raw_key = ApiKey.objects.create_key(prefix="csb", organization=alpine)
        page = self.client.get(PRODUCTS, headers={"X-API-Key": raw_key})
        self.assertContains(page, "Alpine Outdoor (API key)")
        self.assertNotContains(page, "organization:")


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
