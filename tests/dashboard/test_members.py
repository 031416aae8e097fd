"""The pages about the members of an organization."""

from __future__ import annotations

from http import HTTPStatus
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from closient_auth.limits.windows import Window
from closient_auth.models import ApiKey, AuditEntry, Membership
from tests.dashboard.routes import get_text
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_invitation, make_key

pytestmark = pytest.mark.django_db

MEMBERS = "/settings/o/acme/members/"
LEAVE = "/settings/o/acme/settings/leave/"
# Who may give a member with the role of the row which role, and remove the member. A superuser is no member.
CHANGES = {
    "owner": {
        "owner": "owner manager billing editor remove",
        "manager": "owner manager billing editor remove",
        "billing": "owner manager billing editor remove",
        "editor": "owner manager billing editor remove",
    },
    "manager": {
        "owner": "",
        "manager": "manager billing editor remove",
        "billing": "manager billing editor remove",
        "editor": "manager billing editor remove",
    },
    "billing": {"owner": "", "manager": "", "billing": "", "editor": ""},
    "editor": {"owner": "", "manager": "", "billing": "", "editor": ""},
}
CHANGES["superuser"] = CHANGES["owner"]


@pytest.fixture
def members(acme, people):
    """Return another member of Acme for each role, by role."""
    return {
        role: MembershipFactory.create(
            organization=acme, role=role, user__username=f"other-{role}", user__first_name="Pat"
        )
        for role in people
    }


@pytest.fixture
def everybody(people, outsider):
    """Return the users by role, with a superuser and a stranger."""
    return {**people, "superuser": UserFactory.create(username="root", is_superuser=True), "outsider": outsider}


@pytest.fixture
def neighbour(people):
    """Return the membership of the Owner of Acme in another organization, as an Editor."""
    return MembershipFactory.create(user=people["owner"], role="editor", organization__slug="beta")


def snapshot():
    rows = Membership.objects.order_by("pk").values_list("pk", "organization", "user", "role")
    return list(rows), list(ApiKey.objects.order_by("pk").values_list("pk", "is_active"))


def read(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def show_row(page, name):
    return page.partition(f"<strong>{name}</strong>")[2].partition("</tr>")[0]


@pytest.mark.parametrize("who", CHANGES)
def test_matrix(client, everybody, members, neighbour, who):
    client.force_login(everybody[who])
    for role, expected in CHANGES[who].items():
        member = members[role]
        found: list[str] = []
        url = f"{MEMBERS}{member.pk}/"
        may_see = who in ("owner", "manager", "superuser")
        assert client.get(f"{url}role/").status_code == (HTTPStatus.OK if may_see else HTTPStatus.FORBIDDEN)
        shown = client.get(f"{url}remove/").status_code
        assert shown == (HTTPStatus.OK if "remove" in expected else HTTPStatus.FORBIDDEN)
        for new in ("owner", "manager", "billing", "editor"):
            before = snapshot()
            status = client.post(f"{url}role/", {"role": new}).status_code
            if new in expected.split():
                assert status == HTTPStatus.FOUND
                found.append(new)
            else:
                # The form does not offer the role to those who may open the page.
                unchanged = new == role and may_see
                refused = HTTPStatus.FORBIDDEN if not may_see or unchanged else HTTPStatus.OK
                assert (status, snapshot()) == (refused, before)
            Membership.objects.filter(pk=member.pk).update(role=role)
        before = snapshot()
        shown = client.get(f"{url}remove/").context
        etag = shown["preview"].etag if "remove" in expected else ""
        if client.post(f"{url}remove/", {"shown": etag}).status_code == HTTPStatus.FOUND:
            found.append("remove")
        else:
            assert snapshot() == before
        assert " ".join(found) == expected
    neighbour.refresh_from_db()
    assert neighbour.role == "editor"


@pytest.mark.parametrize("path", ["", "{pk}/role/", "{pk}/remove/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_outsiders_get_the_response_of_an_unknown_organization(sign_in, outsider, members, path, method):
    client = sign_in(outsider)
    address = f"/settings/o/{{}}/members/{path.format(pk=members['editor'].pk)}"
    foreign, unknown = (getattr(client, method)(address.format(name)) for name in ("acme", "umbra"))

    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert get_text(foreign) == get_text(unknown)


@pytest.mark.parametrize("pk", ["foreign", "unknown", "gone", "nonsense", "\0"])
@pytest.mark.parametrize("path", ["role", "remove"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_other_rows_are_404(owner, members, neighbour, pk, path, method):
    member = members["editor"]
    pks = {"foreign": neighbour.pk, "unknown": uuid4(), "gone": member.pk}
    member.delete()
    before = snapshot()

    response = getattr(owner, method)(f"{MEMBERS}{pks.get(pk, pk)}/{path}/", {"role": "owner"})

    assert (response.status_code, snapshot()) == (404, before)


@pytest.mark.parametrize("verb", ["change_role", "remove"])
def test_a_row_that_goes_away_meanwhile_is_404(owner, members, monkeypatch, verb):
    """The member is removed between the first query of the page and the lock."""
    member = members["editor"]
    path = "role" if verb == "change_role" else "remove"
    data = {"role": "billing", "shown": member.preview_offboarding().etag}
    real = getattr(Membership, verb)

    def late(self, *args, **kwargs):
        Membership.objects.filter(pk=self.pk).delete()
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Membership, verb, late)

    assert owner.post(f"{MEMBERS}{member.pk}/{path}/", data).status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("path", ["role", "remove"])
def test_forms_need_a_csrf_token(people, members, path):
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["owner"])
    member, before = members["editor"], snapshot()
    data = {"role": "billing", "shown": member.preview_offboarding().etag}

    assert client.post(f"{MEMBERS}{member.pk}/{path}/", data).status_code == HTTPStatus.FORBIDDEN
    assert snapshot() == before
    client.get(MEMBERS)
    data["csrfmiddlewaretoken"] = client.cookies["csrftoken"].value
    assert client.post(f"{MEMBERS}{member.pk}/{path}/", data).status_code == HTTPStatus.FOUND
    assert snapshot() != before


def test_what_the_table_shows(owner, acme, people, members):
    make_key(organization=acme, created_by=members["manager"].user)
    make_key(organization=acme, created_by=members["manager"].user)
    make_key(organization=acme, created_by=members["manager"].user)[0].revoke()
    make_key(organization=OrganizationFactory.create(), created_by=members["manager"].user)
    page = owner.get(MEMBERS).text

    assert "8 people belong to this organization." in page
    own, row = show_row(page, "the-owner"), show_row(page.replace("<strong>Pat</strong>", "", 1), "Pat")
    assert "(you)" in own
    assert "<select" not in own
    assert "Somebody else can change your role." in own
    assert "Leave" in own
    assert "other-manager · other-manager@example.com" in row
    assert f'href="{MEMBERS}{members["manager"].pk}/role/">2<' in row
    assert '<option value="manager" selected>Manager</option>' in row
    assert "Remove" in row


def test_a_manager_is_offered_no_owner(sign_in, people, members):
    page = sign_in(people["manager"]).get(MEMBERS).text

    assert 'value="owner"' not in page.replace('<option value="owner">Owner</option>', "", 1)
    assert "Only an Owner can change this." in page
    assert f"{members['owner'].pk}/remove/" not in page


@pytest.mark.parametrize("role", ["billing", "editor"])
def test_others_see_names_and_roles_alone(sign_in, acme, people, members, role):
    make_key(organization=acme, created_by=members["manager"].user, name="Warehouse")
    page = sign_in(people[role]).get(MEMBERS).text

    assert "other-manager@example.com" in page
    assert 'name="role" data-save' not in page
    assert "Active keys created" not in page
    assert "Invite people" not in page
    assert ("/remove/" in page, page.count(f'href="{LEAVE}"')) == (False, 1)


def test_the_last_owner_is_told_why(owner, people, members):
    members["owner"].delete()
    member = Membership.objects.get(user=people["owner"])
    text = "The last Owner cannot leave; make somebody else an Owner first."
    row = show_row(owner.get(MEMBERS).text, "the-owner")

    assert text in row
    assert "disabled" in row
    assert "/remove/" not in row
    page = owner.get(LEAVE)
    assert "You are the last Owner. The last Owner cannot leave" in page.text
    assert owner.post(LEAVE, {"shown": page.context["preview"].etag}).status_code == HTTPStatus.OK
    response = owner.post(f"{MEMBERS}{member.pk}/role/", {"role": "editor"})
    assert "The organization must keep an active Owner." in response.text
    member.refresh_from_db()
    assert member.role == "owner"


def test_a_superuser_is_told_why_the_last_owner_stays(sign_in, everybody, members):
    members["owner"].delete()
    member = Membership.objects.get(user=everybody["owner"])
    client = sign_in(everybody["superuser"])
    text = "The last Owner cannot be removed; make somebody else an Owner first."

    assert text in show_row(client.get(MEMBERS).text, "the-owner")
    assert text in client.get(f"{MEMBERS}{member.pk}/remove/").text
    assert "The last Owner keeps this role." in client.get(f"{MEMBERS}{member.pk}/role/").text


@pytest.mark.parametrize("active", [True, False])
def test_an_inactive_owner_does_not_count(owner, people, members, active):
    members["owner"].user.is_active = active
    members["owner"].user.save()
    page = owner.get(MEMBERS).text

    assert ("The last Owner cannot leave" in page) is not active
    assert ("Deactivated" in page) is not active


def test_search_and_filter(owner, members):
    pages = {
        query: owner.get(f"{MEMBERS}?{query}")
        for query in ("q=OTHER-bil", "role=manager", "q=the&role=editor", "q=umbra")
    }
    found = {query: [row["member"].user.username for row in page.context["people"]] for query, page in pages.items()}

    assert found == {
        "q=OTHER-bil": ["other-billing"],
        "role=manager": ["the-manager", "other-manager"],
        "q=the&role=editor": ["the-editor", "other-editor"],
        "q=umbra": [],
    }
    assert "No member matches" in pages["q=umbra"].text
    assert "Clear filters" in pages["q=umbra"].text


@pytest.mark.parametrize(("query", "error"), [("role=boss", "Select a valid choice"), ("q=%00", "Null characters")])
def test_a_filter_that_is_no_filter(owner, query, error):
    response = owner.get(f"{MEMBERS}?{query}")

    assert (response.status_code, len(response.context["people"])) == (200, 4)
    assert error in response.text


def test_search_reads_the_address(owner, acme):
    MembershipFactory.create(organization=acme, user__email="zoe@zebra.example")

    assert [row["about"] for row in owner.get(f"{MEMBERS}?q=ZEBRA").context["people"]] == ["zoe@zebra.example"]


def test_only_you(sign_in):
    member = MembershipFactory.create(role="owner", organization__slug="solo")
    client = sign_in(member.user)

    assert "Invite your colleagues" in client.get("/settings/o/solo/members/").text
    MembershipFactory.create(organization=member.organization)
    assert "Invite your colleagues" not in client.get("/settings/o/solo/members/").text


def test_queries_do_not_depend_on_the_rows(owner, acme, people):
    def count():
        with CaptureQueriesContext(connection) as queries:
            assert owner.get(MEMBERS).status_code == HTTPStatus.OK
        return len(queries)

    for user in people.values():
        make_key(organization=acme, created_by=user)
    few = count()
    for member in MembershipFactory.create_batch(100, organization=acme):
        make_key(organization=acme, created_by=member.user)

    assert count() == few
    response = owner.get(f"{MEMBERS}?page=5&role=editor")
    assert response.context["rows"].number == response.context["rows"].paginator.num_pages == 5
    assert "?page=4&amp;role=editor" in response.text or "?role=editor&amp;page=4" in response.text


def test_what_each_role_may_do(owner, settings):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"billing": ["orders.refund"], "owner": ["orders.export"]}}
    table = owner.get(MEMBERS).context["role_table"]

    assert {row["permission"]: [str(cell["role"]) for cell in row["cells"] if cell["has"]] for row in table} == {
        "View the organization": ["Owner", "Manager", "Billing", "Editor"],
        "Contribute content": ["Owner", "Manager", "Editor"],
        "Manage billing": ["Owner", "Manager", "Billing"],
        "Manage API keys": ["Owner", "Manager"],
        "Manage members": ["Owner", "Manager"],
        "Edit and delete the organization": ["Owner"],
        "orders.export": ["Owner"],
        "orders.refund": ["Billing"],
    }


def test_a_new_role_counts_at_once(owner, members, people):
    member = members["editor"]
    response = owner.post(f"{MEMBERS}{member.pk}/role/", {"role": "billing"})

    assert (response.status_code, response["Location"]) == (302, MEMBERS)
    assert read(response) == ["Pat has the role Billing now."]
    member.refresh_from_db()
    assert member.role == "billing"
    entry = AuditEntry.objects.get(event="member_changed")
    assert (entry.actor, entry.old_values, entry.new_values) == ("the-owner", {"role": "editor"}, {"role": "billing"})


def test_a_demotion_names_the_live_keys(owner, acme, members):
    member = members["manager"]
    live = make_key(organization=acme, created_by=member.user, name="Warehouse")[0]
    make_key(organization=acme, created_by=member.user, name="Old")[0].revoke()
    response = owner.post(f"{MEMBERS}{member.pk}/role/", {"role": "editor"})

    assert (response.status_code, response["Location"]) == (302, f"{MEMBERS}{member.pk}/role/")
    page = owner.get(response["Location"]).text
    assert "Pat has the role Editor now. 1 active key that they have created keeps working." in page
    assert "Warehouse" in page
    assert f"{live.prefix}_{live.hint}…" in page
    assert f'href="/settings/o/acme/keys/{live.pk}/revoke/"' in page
    assert "Old" not in page


def test_no_keys_after_a_promotion(owner, acme, members):
    member = members["editor"]
    make_key(organization=acme, created_by=member.user)

    assert owner.post(f"{MEMBERS}{member.pk}/role/", {"role": "manager"})["Location"] == MEMBERS


def test_an_owner_who_steps_down_by_hand(owner, people, members):
    member = Membership.objects.get(user=people["owner"])
    response = owner.post(f"{MEMBERS}{member.pk}/role/", {"role": "editor"})

    assert response["Location"] == MEMBERS
    assert owner.get(MEMBERS).status_code == HTTPStatus.OK
    assert owner.get(f"{MEMBERS}{member.pk}/role/").status_code == HTTPStatus.FORBIDDEN


def test_the_page_of_ones_own_role(owner, people, members):
    page = owner.get(f"{MEMBERS}{Membership.objects.get(user=people['owner']).pk}/role/").text

    assert "Somebody else can change your role." in page
    assert '<select name="role"' not in page


def test_the_page_of_an_owner_for_a_manager(sign_in, people, members):
    page = sign_in(people["manager"]).get(f"{MEMBERS}{members['owner'].pk}/role/").text

    assert "Only an Owner can change this." in page
    assert '<select name="role"' not in page


def test_role_changes_are_limited_and_removals_are_not(owner, members, monkeypatch):
    monkeypatch.setattr("closient_auth.dashboard.frame.CHANGE_WINDOWS", (Window(1, 86_400),))
    member = members["editor"]
    url = f"{MEMBERS}{member.pk}/"

    assert owner.post(f"{url}role/", {"role": "billing"}).status_code == HTTPStatus.FOUND
    refused = owner.post(f"{url}role/", {"role": "manager"})
    assert "Too many changes. Try again in" in refused.text
    member.refresh_from_db()
    assert member.role == "billing"
    etag = member.preview_offboarding().etag
    assert owner.post(f"{url}remove/", {"shown": etag}).status_code == HTTPStatus.FOUND


@pytest.fixture
def left(acme, members):
    """Return what another Manager leaves behind."""
    user = members["manager"].user
    return {
        "live_key": make_key(organization=acme, created_by=user, name="Warehouse")[0],
        "other_key": make_key(organization=acme, created_by=user, name="Shop")[0],
        "user_key": make_key("csu", user=user, name="Laptop")[0],
        "invitation": make_invitation(acme, "new@example.org", by=user)[0],
    }


def test_removal_with_its_preview(owner, acme, people, members, left):
    member, neighbours = members["manager"], make_key(organization=acme, created_by=people["owner"])[0]
    url = f"{MEMBERS}{member.pk}/remove/"
    page = owner.get(url)

    for text in (
        "Remove Pat",
        "Warehouse",
        "Shop",
        "Laptop",
        "new@example.org",
        "2 keys of the organization keep working",
    ):
        assert text in page.text
    data = {"shown": page.context["preview"].etag, "revoke_keys": [str(left["live_key"].pk)]}
    response = owner.post(url, data)
    assert (response.status_code, response["Location"]) == (302, MEMBERS)
    assert read(response) == [
        "Pat is no longer a member. 1 key is revoked. 1 active key that they have created keeps working."
    ]
    assert not Membership.objects.filter(pk=member.pk).exists()
    assert not ApiKey.objects.get(pk=left["live_key"].pk).is_active
    for stays in (left["other_key"], left["user_key"], neighbours):
        assert ApiKey.objects.get(pk=stays.pk).is_active
    assert AuditEntry.objects.get(event="member_removed").actor == "the-owner"


def test_nothing_is_left(owner, members):
    url = f"{MEMBERS}{members['editor'].pk}/remove/"
    page = owner.get(url)

    assert "Pat leaves no keys and no invitations." in page.text
    response = owner.post(url, {"shown": page.context["preview"].etag})
    assert read(response) == ["Pat is no longer a member."]


@pytest.mark.parametrize("shown", ["old", "nonsense", None])
def test_a_changed_preview_is_shown_again(owner, acme, members, left, shown):
    member = members["manager"]
    url = f"{MEMBERS}{member.pk}/remove/"
    old = owner.get(url).context["preview"].etag
    make_key(organization=acme, created_by=member.user, name="Brand new")
    before = snapshot()
    checked = str(left["live_key"].pk)
    data = {"revoke_keys": [checked], **({} if shown is None else {"shown": old if shown == "old" else shown})}
    response = owner.post(url, data)

    assert (response.status_code, snapshot()) == (200, before)
    assert "Something changed while you were reading." in response.text
    assert "Brand new" in response.text
    assert f'value="{checked}" checked' in response.text
    new = response.context["preview"].etag
    assert new != old
    assert f'name="shown" value="{new}"' in response.text
    assert owner.post(url, {**data, "shown": new}).status_code == HTTPStatus.FOUND


@pytest.mark.parametrize(
    ("pk", "error"), [("nonsense", "Choose keys of the list."), ("foreign", "This member created no active key")]
)
def test_keys_of_others_are_not_revoked(owner, people, acme, members, left, pk, error):
    url = f"{MEMBERS}{members['manager'].pk}/remove/"
    foreign = make_key(organization=acme, created_by=people["owner"])[0]
    before = snapshot()
    data = {
        "shown": owner.get(url).context["preview"].etag,
        "revoke_keys": [str(foreign.pk) if pk == "foreign" else pk],
    }
    response = owner.post(url, data)

    assert (response.status_code, snapshot()) == (200, before)
    assert error in response.text


@pytest.mark.parametrize("role", ["billing", "editor"])
def test_leaving_without_the_permission_to_see_keys(sign_in, acme, people, role):
    user, client = people[role], sign_in(people[role])
    live = make_key(organization=acme, created_by=user, name="Warehouse")[0]
    page = client.get(LEAVE)

    assert "<title>Leave the organization · Acme Foods" in page.text
    assert "Warehouse" not in page.text
    assert "You leave no keys" not in page.text
    assert page.context["preview"] is None
    before = snapshot()
    refused = client.post(LEAVE, {"revoke_keys": [str(live.pk)]})
    assert (refused.status_code, snapshot()) == (403, before)
    response = client.post(LEAVE)
    assert (response.status_code, response["Location"]) == (302, "/settings/")
    assert read(response) == ["You have left Acme Foods."]
    assert not Membership.objects.filter(user=user).exists()
    assert client.get(MEMBERS).status_code == HTTPStatus.NOT_FOUND


def test_an_owner_leaves(owner, members):
    page = owner.get(LEAVE)

    assert "You leave no keys and no invitations." in page.text
    assert owner.post(LEAVE, {"shown": page.context["preview"].etag})["Location"] == "/settings/"


def test_a_manager_leaves_and_revokes_keys(sign_in, acme, people):
    user, client = people["manager"], sign_in(people["manager"])
    keys = [make_key(organization=acme, created_by=user)[0] for _ in range(3)]
    old = client.get(LEAVE).context["preview"].etag
    keys.append(make_key(organization=acme, created_by=user)[0])
    data = {"revoke_keys": [str(api_key.pk) for api_key in keys[:2]]}
    before = snapshot()
    response = client.post(LEAVE, {**data, "shown": old})

    assert (response.status_code, snapshot()) == (200, before)
    assert "Something changed while you were reading." in response.text
    response = client.post(LEAVE, {**data, "shown": response.context["preview"].etag})
    assert (response.status_code, response["Location"]) == (302, "/settings/")
    assert read(response) == ["You have left Acme Foods. 2 keys are revoked."]
    assert [ApiKey.objects.get(pk=api_key.pk).is_active for api_key in keys] == [False, False, True, True]


@pytest.mark.parametrize("role", ["owner", "manager", "billing", "editor"])
def test_one_page_for_leaving(sign_in, people, members, role):
    own = Membership.objects.get(user=people[role])
    client, url = sign_in(people[role]), f"{MEMBERS}{own.pk}/remove/"
    before = snapshot()

    for response in (client.get(url), client.post(url, {"shown": "x"})):
        assert (response.status_code, response["Location"]) == (302, LEAVE)
    assert snapshot() == before
    assert f'href="{LEAVE}" data-confirm' in client.get(MEMBERS).text
    if role in {"owner", "manager"}:
        assert f'href="{LEAVE}" data-confirm' in client.get(f"{MEMBERS}{own.pk}/role/").text


def test_names_are_escaped(owner, acme, members):
    evil = "<script>alert(1)</script>"
    member = members["manager"]
    member.user.first_name, member.user.email = evil, f'"{evil}"@example.com'
    member.user.save()
    make_key(organization=acme, created_by=member.user, name=evil)
    acme.name = evil
    acme.save()
    url = f"{MEMBERS}{member.pk}/"
    for path in (MEMBERS, f"{MEMBERS}?q={evil}", f"{url}role/", f"{url}remove/"):
        page = owner.get(path).text
        assert evil not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    page = owner.post(f"{url}role/", {"role": "editor"}, follow=True).text
    assert evil not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; has the role Editor now." in page


def test_a_suspended_organization(owner, acme, members):
    acme.suspend()
    before = snapshot()
    for path in ("", f"{members['editor'].pk}/role/", f"{members['editor'].pk}/remove/"):
        assert owner.get(f"{MEMBERS}{path}").status_code == HTTPStatus.FORBIDDEN
        assert owner.post(f"{MEMBERS}{path}", {"role": "billing"}).status_code == HTTPStatus.FORBIDDEN
    assert snapshot() == before


@pytest.mark.parametrize("path", ["", "{pk}/role/", "{pk}/remove/"])
def test_a_project_with_members_of_its_own_has_its_own_pages(owner, members, settings, path):
    settings.CLOSIENT_AUTH = {"MEMBERSHIPS": "tests.memberships.adapters.TeamMemberships"}
    before = snapshot()
    url = f"{MEMBERS}{path.format(pk=members['editor'].pk)}"

    assert owner.get(url).status_code == HTTPStatus.NOT_FOUND
    assert owner.post(url, {"role": "billing"}).status_code == HTTPStatus.NOT_FOUND
    assert snapshot() == before


def test_long_names(owner, acme, members):
    name = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
    members["editor"].user.last_name = name
    members["editor"].user.save()

    assert f"Pat {name}" in owner.get(MEMBERS).text
    assert f"Remove Pat {name}" in owner.get(f"{MEMBERS}{members['editor'].pk}/remove/").text
