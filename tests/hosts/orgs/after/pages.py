"""The pages of the host answer as before, also if there are keys."""

import pytest
from django.test import Client

from accounts.models import User
from closient_auth.models import ApiKey
from tenancy.models import Organization

from .conftest import get_anchor

ACME = "/organizations/Acme%20Inc.%20Berlin"


@pytest.fixture
def keys(world, acme):
    """Return a key of the organization, which its owner made, and one of the owner."""
    business, _ = world.make_key("csb", acme, by=world.users["owner"])
    return business, world.make_key("csu", "owner")[0]


@pytest.fixture
def sign_in(world):
    def sign_in(name):
        client = Client()
        client.force_login(world.users[name])
        return client

    return sign_in


def get_roles(organization):
    return dict(organization.memberships.joined().values_list("user__email", "role"))


def change(client, organization, roles):
    """Send the admin's form of an organization with these roles."""
    rows = list(organization.memberships.all())
    data = {"name": organization.name, "memberships-TOTAL_FORMS": len(rows), "memberships-INITIAL_FORMS": len(rows)}
    for number, row in enumerate(rows):
        values = {
            "id": row.pk,
            "organization": organization.pk,
            "user": row.user_id or "",
            "email": row.email,
            "role": roles.get(row.user and row.user.email, row.role),
            "date_joined_0": row.date_joined.date() if row.date_joined else "",
            "date_joined_1": row.date_joined.time() if row.date_joined else "",
        }
        data |= {f"memberships-{number}-{name}": value for name, value in values.items()}
    return client.post(f"/admin/tenancy/organization/{organization.pk}/change/", data)


OWNER, MEMBER = "owner@advisories.example", "member@advisories.example"


@pytest.mark.parametrize(
    "roles",
    [{OWNER: "member", MEMBER: "owner"}, {OWNER: "member", MEMBER: "member"}],
    ids=["swap of the owner", "demotion of the last owner"],
)
@pytest.mark.usefixtures("keys")
def test_roles_in_the_admin(acme, sign_in, roles):
    response = change(sign_in("superuser"), acme, roles)

    assert (response.status_code, response.url) == (302, "/admin/tenancy/organization/")
    assert get_roles(acme) == roles


def test_swapped_owner_has_the_rights_at_once(world, acme, sign_in, send):
    url = f"/api/account/organizations/{acme.pk}/keys"
    change(sign_in("superuser"), acme, {OWNER: "member", MEMBER: "owner"})

    assert send(url, "owner").data["required_permission"] == "organization.manage_api_keys"
    assert send(url, "member").status_code == 200


def test_owner_deletes_the_organization(acme, rival, keys, sign_in):
    client = sign_in("owner")
    assert (client.get(f"{ACME}/delete/").status_code, client.get(f"{ACME}/members/").status_code) == (200, 200)

    response = client.post(f"{ACME}/delete/")

    assert (response.status_code, response.url) == (302, "/organizations/")
    assert list(Organization.objects.all()) == [rival]
    assert list(ApiKey.objects.all()) == [keys[1]]


def test_member_does_not_delete_the_organization(acme, keys, sign_in):
    assert sign_in("member").post(f"{ACME}/delete/").status_code == 403
    assert sign_in("invitee").post(f"{ACME}/delete/").status_code == 404
    assert sign_in("rival").post(f"{ACME}/delete/").status_code == 404
    assert get_anchor(acme).api_keys.get() == keys[0]


def test_staff_delete_the_organization(acme, rival, keys, sign_in):
    path = f"/admin/tenancy/organization/{acme.pk}/delete/"
    client = sign_in("superuser")
    assert client.get(path).status_code == 200

    response = client.post(path, {"post": "yes"})

    assert (response.status_code, response.url) == (302, "/admin/tenancy/organization/")
    assert list(Organization.objects.all()) == [rival]
    assert list(ApiKey.objects.all()) == [keys[1]]


def test_last_owner_deletes_the_account(acme, keys, sign_in):
    response = sign_in("owner").post("/account/delete/")

    assert (response.status_code, response.url) == (302, "/account/login/")
    assert get_roles(acme) == {MEMBER: "member"}
    # The key of the organization works without its maker.
    api_key = ApiKey.objects.get()
    assert (api_key.pk, api_key.created_by, api_key.state) == (keys[0].pk, None, "active")


def test_staff_delete_the_last_owner(world, acme, keys, sign_in):
    path = f"/admin/accounts/user/{world.users['owner'].pk}/delete/"
    client = sign_in("superuser")
    assert client.get(path).status_code == 200

    response = client.post(path, {"post": "yes"})

    assert (response.status_code, response.url) == (302, "/admin/accounts/user/")
    assert get_roles(acme) == {MEMBER: "member"}
    assert list(ApiKey.objects.all()) == [keys[0]]


def test_staff_deactivate_the_last_owner(world, acme, sign_in):
    path = f"/admin/accounts/user/{world.users['owner'].pk}/change/"
    response = sign_in("superuser").post(path, {"email": OWNER, "full_name": ""})

    assert (response.status_code, response.url) == (302, "/admin/accounts/user/")
    assert not User.objects.get(email=OWNER).is_active


@pytest.mark.usefixtures("keys")
def test_invitation_is_accepted(world, acme, sign_in):
    response = sign_in("invitee").post(f"/organizations/invitations/{world.invitation.pk}/accept/")

    assert (response.status_code, response.url) == (302, f"{ACME}/members/")
    assert get_roles(acme)["invitee@advisories.example"] == "owner"


def test_staff_rename_the_organization(acme, sign_in):
    acme.name = "Renamed"
    response = change(sign_in("superuser"), acme, {})

    assert (response.status_code, response.url) == (302, "/admin/tenancy/organization/")
    assert get_anchor(acme).name == "Renamed"


def test_admin_of_the_package_leaves_organizations_to_the_host(acme, keys, sign_in):
    client = sign_in("superuser")
    anchor = get_anchor(acme)
    path = "/admin/closient_auth/organization"

    assert client.get(f"{path}/").status_code == 200
    page = client.get(f"{path}/{acme.pk}/change/")
    assert page.status_code == 200
    assert not {"name", "slug"}.intersection(page.context["adminform"].form.fields)
    assert not [
        formset for formset in page.context["inline_admin_formsets"] if formset.opts.model.__name__ == "Membership"
    ]
    for refused in (client.get(f"{path}/add/"), client.post(f"{path}/{acme.pk}/delete/", {"post": "yes"})):
        assert refused.status_code == 403
    client.post(f"{path}/{acme.pk}/change/", {"name": "Taken", "slug": "taken", "user_keys_allowed": "on"})

    after = get_anchor(acme)
    assert (after.name, after.slug) == (anchor.name, anchor.slug)
    assert Organization.objects.get(pk=acme.pk).name == acme.name
    assert list(anchor.api_keys.all()) == [keys[0]]


def test_staff_make_a_key_in_the_admin(world, acme, rival, sign_in, send, get_url):
    client = sign_in("superuser")
    path = "/admin/closient_auth/apikey"
    assert "tracker.delete_rows" in client.get(f"{path}/add/").content.decode()

    made = client.post(
        f"{path}/add/",
        {
            "prefix": "csb",
            "organization": acme.pk,
            "name": "server",
            "rate_limit_per_minute": 0,
            "rate_limit_per_day": 0,
            "permissions": ["tracker.delete_rows"],
        },
        follow=True,
    )

    api_key = ApiKey.objects.get()
    assert (made.status_code, api_key.organization_id, api_key.permissions) == (200, acme.pk, ["tracker.delete_rows"])
    assert client.get(f"{path}/").status_code == client.get(f"{path}/{api_key.pk}/change/").status_code == 200


def test_staff_suspend_an_organization(world, acme, rival, sign_in, send, get_url):
    _, raw_key = world.make_key("csb", acme)
    client = sign_in("superuser")
    path = f"/admin/closient_auth/organization/{acme.pk}/suspend/"
    page = client.get(path)
    # Pending invitations are not members.
    assert (page.status_code, page.context["member_count"], page.context["key_count"]) == (200, 2, 1)

    client.post(path)

    refused = send(get_url(acme), raw_key)
    assert (refused.status_code, refused.data["code"]) == (403, "organization_suspended")
    assert send(get_url(rival), "rival").status_code == 200
