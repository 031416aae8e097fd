"""The rows of the host decide who is a member and may do what, at each request."""

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from closient_auth.models import ApiKey
from closient_auth.models import Membership as RoleMembership
from closient_auth.principals import OrganizationPrincipal, get_principal
from tenancy.models import Membership, Organization

from .conftest import get_anchor

VIEW, CONTRIBUTE = "organization.view_organization", "organization.contribute_organization"
DELETE = "tracker.delete_rows"
NOT_FOUND = {"detail": "Not found."}


@pytest.fixture(params=["key", "session"])
def credential(request, world):
    """Return a function to get a user key or the session of a user."""
    return lambda name: name if request.param == "session" else world.make_key("csu", name)[1]


def test_update_of_a_role_counts_at_the_next_request(world, acme, rival, send, get_url, credential):
    member = credential("member")
    (project, _, _), (foreign, _, _) = world.make_rows(acme), world.make_rows(rival)
    path = get_url(acme, f"projects/{project.pk}")
    refused = send(path, member, "delete")
    assert (refused.status_code, refused.data["required_permission"]) == (403, DELETE)

    Membership.objects.filter(user=world.users["member"]).update(role="owner")

    assert send(get_url(acme, f"projects/{foreign.pk}"), member, "delete").status_code == 404
    assert send(path, member, "delete").status_code == 204
    assert (acme.projects.count(), rival.projects.count()) == (0, 1)


def test_demotion_counts_at_the_next_request(world, acme, send, get_url, credential):
    owner = credential("owner")
    project, _, _ = world.make_rows(acme)
    path = get_url(acme, f"projects/{project.pk}")
    assert send(path, owner).status_code == 200

    Membership.objects.filter(user=world.users["owner"]).update(role="member")

    refused = send(path, owner, "delete")
    assert (refused.status_code, refused.data["required_permission"]) == (403, DELETE)
    assert acme.projects.count() == 1


def test_bulk_create_and_delete_count_at_the_next_request(world, acme, send, get_url, credential):
    outsider = credential("outsider")
    assert (send(get_url(acme), outsider).status_code, send(get_url(acme), outsider).data) == (404, NOT_FOUND)

    Membership.objects.bulk_create(
        [Membership(organization=acme, user=world.users["outsider"], date_joined=timezone.now())]
    )
    assert send(get_url(acme), outsider).status_code == 200

    Membership.objects.filter(user=world.users["outsider"]).delete()
    assert (send(get_url(acme), outsider).status_code, send(get_url(acme), outsider).data) == (404, NOT_FOUND)


def test_invitee_is_a_member_as_soon_as_the_row_says_so(world, acme, rival, send, get_url, credential):
    invitee = credential("invitee")
    world.make_rows(acme)
    assert (send(get_url(acme), invitee).status_code, send(get_url(acme), invitee).data) == (404, NOT_FOUND)
    # A person without an organization need not name one.
    assert send("/api/account/organizations", invitee).data["results"] == []

    Membership.objects.filter(pk=world.invitation.pk).update(date_joined=timezone.now())

    assert [row["name"] for row in send(get_url(acme), invitee).data["results"]] == [f"Project of {acme}"]
    assert send(get_url(rival), invitee).status_code == 404
    assert [row["name"] for row in send("/api/account/organizations", invitee).data["results"]] == [acme.name]

    Membership.objects.filter(pk=world.invitation.pk).update(date_joined=None)
    assert send(get_url(acme), invitee).status_code == 404


def test_invitation_of_an_address_gives_nothing(world, acme, send, get_url, credential):
    outsider = credential("outsider")
    assert acme.memberships.filter(email=world.users["outsider"].email, role="owner").exists()

    assert (send(get_url(acme), outsider).status_code, send(get_url(acme), outsider).data) == (404, NOT_FOUND)

    # The row has a date, but nobody has accepted it.
    acme.memberships.filter(email=world.users["outsider"].email).update(date_joined=timezone.now())
    assert send(get_url(acme), outsider).status_code == 404


def test_person_with_two_rows_has_the_permissions_of_both(world, acme, rival, send, get_url, credential):
    member = credential("member")
    world.join(acme, "member", "owner")
    project, _, _ = world.make_rows(acme)

    assert [row["name"] for row in send("/api/account/organizations", member).data["results"]] == [acme.name]
    (organization,) = send("/api/account/me", member).data["organizations"]
    assert {VIEW, CONTRIBUTE, DELETE} < set(organization["permissions"])
    # One organization, so the person need not name it.
    assert send(get_url(acme, f"projects/{project.pk}"), member, "delete").status_code == 204
    assert send(get_url(rival), member).status_code == 404


def test_two_rows_list_a_person_once(world, acme, send):
    world.join(acme, "member", "owner")
    api_key, _ = world.make_key("csu", "member")

    listed = send(f"/api/account/organizations/{acme.pk}/user-keys", "owner")

    assert [(row["id"], row["holder"]) for row in listed.data["results"]] == [
        (str(api_key.pk), "member@advisories.example")
    ]


def test_pending_row_beside_a_joined_one_adds_nothing(world, acme, send, get_url, credential):
    acme.memberships.create(user=world.users["member"], role="owner")
    project, _, _ = world.make_rows(acme)

    refused = send(get_url(acme, f"projects/{project.pk}"), credential("member"), "delete")

    assert (refused.status_code, refused.data["required_permission"]) == (403, DELETE)
    assert acme.projects.count() == 1


def test_keys_of_invited_people_are_not_listed(world, acme, send):
    world.make_key("csu", "invitee")
    world.make_key("csu", "outsider")
    api_key, _ = world.make_key("csu", "member")

    listed = send(f"/api/account/organizations/{acme.pk}/user-keys", "owner")

    assert [row["id"] for row in listed.data["results"]] == [str(api_key.pk)]


def test_inactive_member_is_refused(world, acme, send, get_url):
    _, raw_key = world.make_key("csu", "member")
    get_user_model().objects.filter(email="member@advisories.example").update(is_active=False)

    refused = send(get_url(acme), raw_key)

    assert (refused.status_code, refused.data["code"]) == (401, "invalid_api_key")


HAS_PERM = {
    # By user: view, contribute and delete rows in the own organization; view the foreign one.
    "owner": (True, True, True, False),
    "member": (True, True, False, False),
    "invitee": (False, False, False, False),
    "outsider": (False, False, False, False),
    "rival": (False, False, False, True),
    "superuser": (True, True, True, True),
}


@pytest.mark.parametrize("name", HAS_PERM)
def test_has_perm_of_a_user_takes_the_row_of_the_host(world, acme, rival, name):
    user = get_user_model().objects.get(pk=world.users[name].pk)
    project, _, _ = world.make_rows(acme)

    def has(permission, obj):
        return user.has_perm(permission, obj)

    assert (has(VIEW, acme), has(CONTRIBUTE, acme), has(DELETE, acme), has(VIEW, rival)) == HAS_PERM[name]
    if name != "superuser":
        assert not has(VIEW, project)
        assert not has(VIEW, None)
        assert user.get_all_permissions(acme) >= ({VIEW} if HAS_PERM[name][0] else set())
        assert user.get_all_permissions(project) == set()


def test_has_perm_follows_an_update(world, acme):
    user = get_user_model().objects.get(pk=world.users["member"].pk)
    assert (user.has_perm(VIEW, acme), user.has_perm(DELETE, acme)) == (True, False)

    Membership.objects.filter(user=user).update(role="owner")
    assert user.has_perm(DELETE, acme)

    Membership.objects.filter(user=user).update(date_joined=None)
    assert not user.has_perm(VIEW, acme)


def test_has_perm_of_a_key_takes_the_row_of_the_host(world, acme, rival):
    business = OrganizationPrincipal(world.make_key("csb", acme)[0])
    narrow = OrganizationPrincipal(world.make_key("csb", acme, permissions=[VIEW])[0])
    public = OrganizationPrincipal(world.make_key("cpk", acme)[0])

    assert [principal.has_perm(VIEW, acme) for principal in (business, narrow, public)] == [True, True, True]
    assert [principal.has_perm(DELETE, acme) for principal in (business, narrow, public)] == [True, False, False]
    assert [principal.has_perm(VIEW, rival) for principal in (business, narrow, public)] == [False, False, False]
    assert not any(principal.has_perm(VIEW) for principal in (business, narrow, public))


def test_superuser_is_nobody_with_a_key(world, acme, send, get_url):
    api_key, raw_key = world.make_key("csu", "superuser")

    assert send(get_url(acme), raw_key).status_code == 404
    assert send(get_url(acme), "superuser").status_code == 200
    assert ApiKey.objects.get(pk=api_key.pk).last_used is not None


def test_user_of_a_key_is_no_superuser(world, acme, rival):
    api_key, _ = world.make_key("csu", "superuser")
    user = get_principal(api_key)
    assert not user.has_perm(VIEW, acme)

    world.join(acme, "superuser", "member")
    assert (user.has_perm(VIEW, acme), user.has_perm(DELETE, acme), user.has_perm(VIEW, rival)) == (True, False, False)


def test_organization_without_an_anchor(world, acme):
    (new,) = Organization.objects.bulk_create([Organization(name="New")])
    world.join(new, "owner", "owner")
    api_key, _ = world.make_key("csu", "superuser")
    users = [get_user_model().objects.get(pk=world.users["owner"].pk), get_principal(api_key)]
    principal = OrganizationPrincipal(world.make_key("csb", acme)[0])

    assert [user.has_perm(VIEW, new) for user in (*users, principal)] == [False, False, False]


def test_memberships_of_the_package_mean_nothing(world, acme, send, get_url, credential):
    """Such rows may be left over from before the project named its own class."""
    RoleMembership.objects.create(organization=get_anchor(acme), user=world.users["outsider"], role="owner")
    outsider = credential("outsider")

    assert (send(get_url(acme), outsider).status_code, send(get_url(acme), outsider).data) == (404, NOT_FOUND)
    assert send("/api/account/organizations", outsider).data["results"] == []
    assert send("/api/account/me", outsider).data["organizations_owned_alone"] == []
    user = get_user_model().objects.get(pk=world.users["outsider"].pk)
    assert not user.has_perm(VIEW, acme)
    # The last-owner rule is for those rows, so it does not stop the deletion.
    user.delete()
    assert not RoleMembership.objects.exists()
