"""Two organizations with rows in every state and hostile names, for the tests that visit every page of the dashboard."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from django.apps import apps
from django.test import Client
from django.urls import resolve, reverse
from django.utils import timezone

from closient_auth.models import ApiKey, Invitation, Organization
from closient_auth.roles import Permission, Role
from tests.dashboard.markup import Form, Markup, fill
from tests.dashboard.routes import ACTIONS, NAMESPACE, PAGES, ROUTES
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_invitation, make_key


def get_verified_addresses(user: Any) -> list[str]:
    """The setting ``VERIFIED_ADDRESSES`` for the tests: people have verified the address of their account."""
    return [user.email]


SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(1)>'
LONG = "x" * 255
RIGHT_TO_LEFT = "مفاتيح الواجهة البرمجية \u202eevil"
GERMAN = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
HOSTILE = (SCRIPT, IMAGE, LONG, RIGHT_TO_LEFT, GERMAN)

PASSWORD = "open sesame"
SETTINGS = {"VERIFIED_ADDRESSES": f"{__name__}.get_verified_addresses", "DASHBOARD_CONFIRM_PASSWORD": True}
# Sessions; then API keys in the header of a request without a session, and of one with an Editor's session.
SESSIONS = ("anonymous", "outsider", "editor", "billing", "manager", "owner", "root")
KEYS = ("csb", "csu owner", "editor + csb")
PRINCIPALS = (*SESSIONS, *KEYS)


class World:
    """Acme with all that a page can show, and a neighbour whose rows must stay as they are.

    ``keys`` are the keys of Acme by state, ``ids`` the ids for the addresses by organization and first word of the name.
    """

    def __init__(self) -> None:
        self.acme = OrganizationFactory.create(name=f"{GERMAN} {SCRIPT}", slug="acme")
        self.neighbour = OrganizationFactory.create(name="Umbra Foods", slug="umbra")
        self.people = {role: self._make_member(role) for role in Role.values}
        self.people["root"] = self._make_user("root", is_superuser=True)
        self.people["stranger"] = self._make_user("stranger")
        MembershipFactory.create(organization=self.neighbour, user=self.people["stranger"], role=Role.OWNER)
        self.people["outsider"] = self._make_user("outsider")
        MembershipFactory.create(organization__name="Elsewhere", user=self.people["outsider"], role=Role.OWNER)
        owner = self.people["owner"]
        # The switcher shows these names.
        for name in (LONG, IMAGE, RIGHT_TO_LEFT):
            MembershipFactory.create(organization__name=name, user=owner, role=Role.OWNER)
        self.empty = OrganizationFactory.create(name="Nobody else", slug="empty")
        MembershipFactory.create(organization=self.empty, user=owner, role=Role.OWNER)
        self.keys = self._make_keys(owner)
        self.own_keys = {person: make_key("csu", user=user)[0] for person, user in self.people.items()}
        self.invitations = self._make_invitations(owner)
        self._make_more_members()
        self._make_usage()
        self.ids = {
            organization: {
                "key": key.pk,
                "user": make_key("csu", user=(member := MembershipFactory.create(organization=organization)).user)[
                    0
                ].pk,
                "member": member.pk,
                "invitation": invitation.pk,
            }
            for organization, key, invitation in (
                (self.acme, self.keys["active"], self.invitations["pending"]),
                (
                    self.neighbour,
                    make_key(organization=self.neighbour, name="Neighbour's key")[0],
                    make_invitation(self.neighbour, "n@example.org", by=self.people["stranger"])[0],
                ),
            )
        }
        # Another Owner, so that the first one may leave.
        MembershipFactory.create(organization=self.acme, role=Role.OWNER, user__username="second")
        self.raw_keys = {"csb": make_key(organization=self.acme)[1], "csu owner": make_key("csu", user=owner)[1]}
        # An invitation of the neighbour for everybody, and its token.
        self.own_invitations = {
            person: make_invitation(self.neighbour, user.email, by=self.people["stranger"])
            for person, user in self.people.items()
        }

    def _make_user(self, name: str, **fields: Any) -> Any:
        user = UserFactory.create(username=name, **fields)
        user.set_password(PASSWORD)
        user.save()
        return user

    def _make_member(self, role: str) -> Any:
        user = self._make_user(role)
        MembershipFactory.create(organization=self.acme, user=user, role=role)
        return user

    def _make_keys(self, owner: Any) -> dict[str, ApiKey]:
        now = timezone.now()

        def make(prefix: str = "csb", **fields: Any) -> ApiKey:
            return make_key(prefix, organization=self.acme, by=owner, **fields)[0]

        keys = {
            "active": make(name="Warehouse server", description=GERMAN),
            "used": make(name=SCRIPT, description=IMAGE),
            "expiring": make(name=IMAGE, expires_at=now + timedelta(days=3)),
            "expired": make(name=LONG, description=LONG, expires_at=now - timedelta(days=3)),
            "never used": make(name=RIGHT_TO_LEFT),
            "revoked": make(name=GERMAN),
            "replaced": make(name="Old server"),
            "nameless": make(),
            "publishable": make("cpk", name="Product widget", allowed_origins=["https://www.example.com"]),
            "restricted": make(
                name="Restricted",
                permissions=[Permission.VIEW_ORGANIZATION],
                allowed_networks=["203.0.113.0/24", "2001:db8::/32"],
                rate_limit_per_minute=60,
            ),
            "nothing": make(name="May do nothing", permissions=[]),
        }
        keys["revoked"].revoke(by=owner)
        keys["replaced"].rotate(by=owner, grace=timedelta(days=1))
        for name in ("used", "replaced", "publishable"):
            ApiKey.objects.filter(pk=keys[name].pk).update(last_used=now - timedelta(minutes=3))
        ApiKey.objects.filter(pk=keys["never used"].pk).update(created_at=now - timedelta(days=200))
        return keys

    def _make_invitations(self, owner: Any) -> dict[str, Invitation]:
        invitations = {
            "pending": make_invitation(self.acme, "pending@example.org", by=owner)[0],
            "expired": make_invitation(self.acme, "expired@example.org", by=owner)[0],
            "withdrawn": make_invitation(self.acme, "withdrawn@example.org", by=owner)[0],
            "accepted": make_invitation(self.acme, "accepted@example.org", by=owner)[0],
            "long": make_invitation(self.acme, f"{'y' * 64}@{'z' * 60}.example.org", by=owner, role=Role.MANAGER)[0],
        }
        # Her inviter may no longer invite.
        invitations["void"] = make_invitation(self.acme, "void@example.org", by=self.people["editor"])[0]
        invitations["withdrawn"].withdraw(by=owner)
        now = timezone.now()
        Invitation.objects.filter(pk=invitations["expired"].pk).update(expires_at=now - timedelta(days=1))
        Invitation.objects.filter(pk=invitations["accepted"].pk).update(accepted_at=now)
        return invitations

    def _make_more_members(self) -> None:
        for number, name in enumerate((SCRIPT, IMAGE, RIGHT_TO_LEFT, GERMAN)):
            user = UserFactory.create(
                username=name[:150],
                first_name=name[:150],
                last_name=name[:150],
                email=f"{'w' * 60}{number}@example.org",
            )
            MembershipFactory.create(organization=self.acme, user=user)
            make_key("csu", user=user, name=name)
        inactive = UserFactory.create(username="inactive", is_active=False)
        MembershipFactory.create(organization=self.acme, user=inactive, role=Role.OWNER)

    def _make_usage(self) -> None:
        try:
            usage: Any = apps.get_app_config("closient_auth").get_model("ApiKeyUsage")
        except LookupError:
            return
        hour = timezone.now().replace(minute=0, second=0, microsecond=0)
        usage.objects.bulk_create(
            usage(family=self.keys[name].family, hour=hour - timedelta(hours=7 * n), requests=40 * n, refused=n % 5)
            for name in ("used", "publishable")
            for n in range(90)
        )

    def get_client(self, person: str, **options: Any) -> Client:
        """Return a client with the credentials of a principal."""
        session, _, raw_key = person.partition(" + ") if " + " in person else (person, "", "")
        raw_key = raw_key or (person if person in self.raw_keys else "")
        client = Client(headers={"X-API-Key": self.raw_keys[raw_key]} if raw_key else None, **options)
        if session in self.people:
            client.force_login(self.people[session])
        return client

    def get_kwargs(
        self, name: str, person: str = "owner", organization: Organization | None = None, pk: Any = None
    ) -> dict[str, Any]:
        """Return the arguments of an address: rows of Acme or of ``organization``, and the person's own rows.

        Another organization's address has the rows of the stranger for the person's own.
        """
        of = organization or self.acme
        session = person.partition(" + ")[0]
        session = "stranger" if of == self.neighbour else session if session in self.people else "owner"
        invitation, token = self.own_invitations[session]
        ids: dict[str, Any] = {"organization": of.slug, "token": token}
        if "pk" in ROUTES[name].arguments:
            first, _, rest = name.partition("-")
            own = {"key": self.own_keys[session].pk, "invitation": invitation.pk}
            ids["pk"] = pk or (own[rest.partition("-")[0]] if first == "own" else self.ids[of][first])
        return {argument: ids[argument] for argument in ROUTES[name].arguments}

    def get_address(self, name: str, *args: Any, **kwargs: Any) -> str:
        """Return an address with the arguments of ``get_kwargs()``."""
        return self.reverse(name, self.get_kwargs(name, *args, **kwargs))

    def reverse(self, name: str, kwargs: dict[str, Any]) -> str:
        return reverse(f"{NAMESPACE}:{name}", kwargs=kwargs)

    def get_texts(self, name: str, organization: Organization | None = None) -> dict[str, Any]:
        """Return what a person writes into the form of an address."""
        of = organization or self.acme
        return {
            "key-new": {"name": "New key"},
            "own-key-new": {"name": "New key"},
            "own-key": {"name": "Renamed"},
            "key": {"name": "Renamed"},
            "leaked": {"api_key": self.raw_keys["csb"]},
            "own-leaked": {"api_key": self.raw_keys["csu owner"]},
            "organization-new": {"name": "New"},
            "settings": {"name": "Renamed"},
            "invitations": {"emails": "new@example.com", "role": "editor"},
            "invitation-code": {"code": self.own_invitations["owner"][1]},
            "member-role": {"role": "billing"},
            "delete": {"name": of.slug, "password": PASSWORD},
            "transfer": {"member": str(self.ids[of]["member"])},
        }.get(name, {})

    @cached_property
    def forms(self) -> dict[str, tuple[str, Form]]:
        """The forms that the Owner finds. They stay usable, because the tests undo what they send."""
        return self.find_forms()

    def find_forms(
        self, person: str = "owner", organization: Organization | None = None
    ) -> dict[str, tuple[str, Form]]:
        """Return the address and the form for each action, found on the pages that the person can open."""
        client = self.get_client(person)
        # The pages about an invitation find its token in the session.
        client.get(self.get_address("join", person))
        found: dict[str, tuple[str, Form]] = {}
        for page in PAGES:
            address = self.get_address(page, person, organization)
            response = client.get(address)
            if response.status_code != HTTPStatus.OK or "html" not in response["Content-Type"]:
                continue
            for form in Markup(response.text).forms:
                if form.method == "post":
                    action = form.action or address
                    found.setdefault(resolve(urlsplit(action).path).url_name or "", (action, form))
        return {name: found[name] for name in ACTIONS if name in found}

    def fill(self, name: str, form: Form, organization: Organization | None = None) -> dict[str, Any]:
        """Return the data of a form as a person fills it in."""
        return fill(form, self.get_texts(name, organization))

    def list_variants(self) -> list[str]:
        """Return addresses of pages in other states: rows in each state, filters, the last page, and an empty one."""
        variants = [
            self.get_address(name, pk=key.pk)
            for name in ("key", "key-rotate", "key-revoke")
            if name in ROUTES
            for state, key in self.keys.items()
            if name == "key" or state in ("used", "replaced", "revoked", "expired")
        ]
        variants += [
            self.get_address(name, organization=self.empty)
            for name in ("keys", "user-keys", "usage", "members", "invitations", "audit", "settings", "delete", "leave")
            if name in ROUTES
        ]
        queries = ("q=zzz", "page=99", "page=x", "state=revoked", "state=nonsense", "from=nonsense", f"q={uuid4()}")
        for name in ("keys", "members", "audit", "usage", "user-keys", "invitations"):
            if name in ROUTES:
                variants += [f"{self.get_address(name)}?{query}" for query in queries]
        return variants
