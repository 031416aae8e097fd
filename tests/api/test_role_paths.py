"""Which role may grant, change and remove which role, in the management API and in the admin."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.urls import path

from tests.admin.members import form_data, formset_errors
from tests.factories import MembershipFactory, UserFactory, make_invitation

pytestmark = pytest.mark.unmeasured

ROLES = ["owner", "manager", "billing", "editor"]

# Whether the actor (row) may grant or remove the role (column).
#              owner  manager billing editor
MAY = {
    "owner":   (True,  True,  True,  True),
    "manager": (False, True,  True,  True),
    "billing": (False, False, False, False),
    "editor":  (False, False, False, False),
}  # fmt: skip
CELLS = [(actor, role, MAY[actor][index]) for actor in ROLES for index, role in enumerate(ROLES)]
CHANGES = [
    (actor, old, new, may_old and MAY[actor][ROLES.index(new)]) for actor, old, may_old in CELLS for new in ROLES
]


@pytest.fixture
def members(acme, people):
    """Return a member of Acme for each role. A second Owner prevents ``last_owner`` errors."""
    MembershipFactory.create(organization=acme, role="owner")
    return {role: acme.memberships.get(user=people[role]) for role in ROLES}


@pytest.fixture
def target(acme, members):
    """Return a function that adds a member to Acme."""
    return lambda role: MembershipFactory.create(organization=acme, role=role)


@pytest.fixture(autouse=True)
def untouched(neighbour):
    """Assert after each test that the neighbour's rows are unchanged."""


def roles(organization):
    return dict(organization.memberships.values_list("user_id", "role"))


@pytest.mark.parametrize(("actor", "old", "new", "may"), CHANGES)
def test_change(send, tree, acme, target, actor, old, new, may):
    member = target(old)
    before = roles(acme)

    response = send(actor, "patch", f"{tree}/members/{member.pk}", {"role": new})

    assert response.status_code == (HTTPStatus.OK if may else HTTPStatus.FORBIDDEN), response.content
    assert roles(acme) == before | ({member.user_id: new} if may else {})


@pytest.mark.parametrize(("actor", "new", "may"), CELLS)
def test_change_of_oneself(send, tree, acme, members, actor, new, may):
    """You cannot raise your own role."""
    before = roles(acme)

    response = send(actor, "patch", f"{tree}/members/{members[actor].pk}", {"role": new})

    assert response.status_code == (HTTPStatus.OK if may else HTTPStatus.FORBIDDEN), response.content
    assert roles(acme) == before | ({members[actor].user_id: new} if may else {})


@pytest.mark.parametrize(("actor", "role", "may"), CELLS)
def test_remove(send, tree, acme, target, actor, role, may):
    member = target(role)
    before = roles(acme)

    response = send(actor, "delete", f"{tree}/members/{member.pk}")

    assert response.status_code == (HTTPStatus.OK if may else HTTPStatus.FORBIDDEN), response.content
    assert roles(acme) == {user: kept for user, kept in before.items() if not may or user != member.user_id}


@pytest.mark.parametrize("actor", ROLES)
def test_leave(send, tree, acme, members, actor):
    before = roles(acme)

    assert send(actor, "delete", f"{tree}/members/{members[actor].pk}").status_code == HTTPStatus.OK
    assert roles(acme) == {user: role for user, role in before.items() if user != members[actor].user_id}


@pytest.mark.parametrize(("actor", "role", "may"), CELLS)
def test_invite(send, tree, acme, members, actor, role, may):
    response = send(actor, "post", f"{tree}/invitations", {"email": "grace@example.com", "role": role})

    assert response.status_code == (HTTPStatus.CREATED if may else HTTPStatus.FORBIDDEN), response.content
    assert list(acme.invitations.values_list("role", flat=True)) == ([role] if may else [])


@pytest.mark.parametrize("method", ["resend", "withdraw"])
@pytest.mark.parametrize(("actor", "role", "may"), CELLS)
def test_resend_and_withdraw(send, tree, acme, people, members, actor, role, may, method):
    """An Owner sent the invitation. Resending it changes the inviter."""
    invitation, _ = make_invitation(acme, "grace@example.com", by=people["owner"], role=role)
    before = acme.invitations.values().get()
    address = f"{tree}/invitations/{invitation.pk}"

    if method == "resend":
        response, status = send(actor, "post", f"{address}/resend", {}), HTTPStatus.OK
    else:
        response, status = send(actor, "delete", address), HTTPStatus.NO_CONTENT

    assert response.status_code == (status if may else HTTPStatus.FORBIDDEN), response.content
    after = acme.invitations.values().get()
    assert (after == before) is not may
    assert after["role"] == role


@pytest.mark.parametrize(("inviter", "role", "may"), CELLS)
def test_accept(send, acme, people, members, inviter, role, may):
    """The inviter's current role decides, not the role at the time of the invitation."""
    people["grace"] = UserFactory.create(email="grace@example.com")
    _, token = make_invitation(acme, "grace@example.com", by=people[inviter], role=role)
    before = roles(acme)

    response = send("grace", "post", "/invitations/accept", {"token": token})

    assert response.status_code == (HTTPStatus.CREATED if may else HTTPStatus.CONFLICT), response.content
    assert may or response.json()["code"] == "invalid_invitation"
    assert roles(acme) == before | ({people["grace"].pk: role} if may else {})


@pytest.fixture
def submit(mount, client, acme, people, members):
    """Submit the admin page of Acme as a staff member with all Django permissions of this package."""

    def submit(actor, changes=None, joins=()):
        mount(path("admin/", admin.site.urls))
        user = people[actor]
        user.is_staff = True
        user.save()
        user.user_permissions.set(Permission.objects.filter(content_type__app_label="closient_auth"))
        client.force_login(user)
        address = f"/admin/closient_auth/organization/{acme.pk}/change/"
        return client.post(address, form_data(acme, changes, joins))

    return submit


# Django's permissions give staff members the rights of a Manager, unless they are Owners.
ADMIN_CHANGES = [
    (actor, old, new, actor == "owner" or "owner" not in (old, new) or old == new)
    for actor in ROLES
    for old in [None, *ROLES]
    for new in [None, *ROLES]
    if old or new
]


@pytest.mark.parametrize(("actor", "old", "new", "may"), ADMIN_CHANGES)
def test_admin(submit, acme, target, actor, old, new, may):
    """``old`` is ``None`` for a new member, ``new`` is ``None`` for a removal."""
    member = target(old) if old else None
    user = member.user if member else UserFactory.create()
    before = roles(acme)

    response = submit(actor, {member: new} if member else {}, [] if member else [(user, new)])

    if may:
        assert response.status_code == HTTPStatus.FOUND
    else:
        assert formset_errors(response) == [f"Only an Owner can grant, change or remove the Owner role ({user})."]
    others = {pk: role for pk, role in before.items() if pk != user.pk}
    assert roles(acme) == ((others | ({user.pk: new} if new else {})) if may else before)
