from __future__ import annotations

from itertools import product

import pytest

from closient_auth.roles import (
    ROLE_PERMISSIONS,
    Permission,
    Role,
    get_all_permissions,
    get_role_permissions,
    may_change_role,
)

YES, NO = True, False

# See the specification, "Permission Reference".
PERMISSION_REFERENCE = {
    #                                          owner manager billing editor
    "organization.view_organization":         (YES,  YES,    YES,    YES),
    "organization.contribute_organization":   (YES,  YES,    NO,     YES),
    "organization.manage_billing":            (YES,  YES,    YES,    NO),
    "organization.manage_api_keys":           (YES,  YES,    NO,     NO),
    "organization.manage_members":            (YES,  YES,    NO,     NO),
    "organization.delete_organization":       (YES,  NO,     NO,     NO),
}  # fmt: skip
ROLES = ("owner", "manager", "billing", "editor")

# See the specification, "Organization Roles (RBAC)".
ROLE_TABLE = {
    #           Manage Org, Billing, Members, Offers, API Keys
    "owner":    (YES,       YES,     YES,     YES,    YES),
    "manager":  (NO,        YES,     YES,     YES,    YES),
    "billing":  (NO,        YES,     NO,      NO,     NO),
    "editor":   (NO,        NO,      NO,      YES,    NO),
}  # fmt: skip
# The permission for each column of ROLE_TABLE (see the notes on the specification).
COLUMNS = (
    "organization.delete_organization",
    "organization.manage_billing",
    "organization.manage_members",
    "organization.contribute_organization",
    "organization.manage_api_keys",
)

CELLS = [(role, name) for name in PERMISSION_REFERENCE for role in ROLES]


def test_names_are_those_of_the_specification():
    assert [role.value for role in Role] == list(ROLES)
    assert [permission.value for permission in Permission] == list(PERMISSION_REFERENCE)
    assert list(ROLE_PERMISSIONS) == list(Role)


@pytest.mark.parametrize(("role", "permission"), CELLS)
def test_permission_reference(role, permission):
    expected = PERMISSION_REFERENCE[permission][ROLES.index(role)]

    assert (permission in ROLE_PERMISSIONS[Role(role)]) is expected
    assert (permission in get_role_permissions(role)) is expected


@pytest.mark.parametrize(("role", "column"), [*product(ROLE_TABLE, range(len(COLUMNS)))])
def test_role_table(role, column):
    assert (COLUMNS[column] in get_role_permissions(role)) is ROLE_TABLE[role][column]


def test_no_role_has_more_than_the_reference():
    assert set().union(*ROLE_PERMISSIONS.values()) == set(PERMISSION_REFERENCE)


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        ROLE_PERMISSIONS[Role.EDITOR] = frozenset(Permission)  # type: ignore[index]
    with pytest.raises(AttributeError):
        ROLE_PERMISSIONS[Role.EDITOR].add("organization.manage_billing")  # type: ignore[attr-defined]


@pytest.mark.parametrize("role", ["", "OWNER", "Owner", "superuser", "organization.view_organization", None])
def test_unknown_role_may_do_nothing(role):
    assert get_role_permissions(role) == frozenset()


def test_extra_permissions_go_to_their_role_alone(settings):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"editor": ["offers.publish"], "owner": ("offers.recall",)}}

    extra = {role: get_role_permissions(role) - ROLE_PERMISSIONS[Role(role)] for role in ROLES}
    assert extra == {"owner": {"offers.recall"}, "manager": set(), "billing": set(), "editor": {"offers.publish"}}
    assert get_all_permissions() == {*PERMISSION_REFERENCE, "offers.publish", "offers.recall"}

    settings.CLOSIENT_AUTH = {}
    assert get_all_permissions() == set(PERMISSION_REFERENCE)


@pytest.mark.parametrize("permission", [*PERMISSION_REFERENCE, "organization.", "organization.host_made_this_up"])
def test_extra_permissions_cannot_widen_a_role_in_the_reserved_namespace(settings, permission):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"billing": [permission, "offers.publish"]}}

    extra = get_role_permissions("billing") - ROLE_PERMISSIONS[Role.BILLING]
    assert extra == {"offers.publish"}


def test_extra_permissions_of_an_unknown_role_go_to_nobody(settings):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"admin": ["offers.publish"]}}

    assert get_role_permissions("admin") == frozenset()
    assert get_all_permissions() == set(PERMISSION_REFERENCE)


# The roles allowed to change a member, by the old role (None: joins) and the new one (None: leaves).
#   O: an Owner only. M: an Owner or a Manager.
CHANGES = {
    #           owner manager billing editor none
    "owner":    ("O", "O",    "O",    "O",   "O"),
    "manager":  ("O", "M",    "M",    "M",   "M"),
    "billing":  ("O", "M",    "M",    "M",   "M"),
    "editor":   ("O", "M",    "M",    "M",   "M"),
    None:       ("O", "M",    "M",    "M",   "M"),
}  # fmt: skip
NEW = (*ROLES, None)
WHO_MAY = {"O": {"owner"}, "M": {"owner", "manager"}}


@pytest.mark.parametrize(("actor", "old", "new"), [*product(ROLES, CHANGES, NEW)])
def test_change_of_another_member(actor, old, new):
    expected = actor in WHO_MAY[CHANGES[old][NEW.index(new)]]

    assert may_change_role(actor, old, new, own=False) is expected


@pytest.mark.parametrize(("actor", "old", "new"), [*product(ROLES, CHANGES, NEW)])
def test_change_of_the_own_membership(actor, old, new):
    # Every member may leave. All other changes follow the general rule, so no member can raise their own role.
    expected = new is None or actor in WHO_MAY[CHANGES[old][NEW.index(new)]]

    assert may_change_role(actor, old, new, own=True) is expected


@pytest.mark.parametrize("actor", ["", "admin", None])
def test_unknown_actor_may_change_nobody(actor):
    assert not any(may_change_role(actor, old, new, own=False) for old, new in product(CHANGES, NEW))


def test_extra_permissions_do_not_let_an_editor_manage_members(settings):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"editor": ["organization.manage_members"]}}

    assert not may_change_role("editor", "billing", None, own=False)
