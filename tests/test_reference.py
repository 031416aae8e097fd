"""docs/reference.md lists every public name: a new one is either documented there or listed as internal here."""

from __future__ import annotations

import inspect
import re
from importlib import import_module

import pytest

from tests.checkout import ROOT

PAGE = (ROOT / "docs" / "reference.md").read_text()
MODULES = [
    "keys",
    "roles",
    "memberships",
    "signals",
    "models.actors",
    "models.organizations",
    "models.ownership",
    "models.memberships",
    "models.api_keys",
    "models.invitations",
    "models.reminders",
    "models.usage",
    "models.audit",
    "models.forgetting",
    "actors",
    "authentication",
    "backends",
    "contrib.django",
    "contrib.django_filters",
    "contrib.ninja",
    "core.access",
    "core.callers",
    "decorators",
    "exceptions",
    "fields",
    "filters",
    "middleware",
    "mixins.organization",
    "organizations",
    "permissions",
    "principals",
    "redaction",
    "throttling",
    "usage.history",
]
INTERNAL = {
    "keys": {"find_api_keys", "get_hint"},
    "roles": {"KeyHolder", "KeyRules", "get_key_types", "may_change_role", "sort_permissions"},
    "models.actors": {"as_actor", "get_api_key_of", "get_restricted_key", "Actor.is_user"},
    "memberships": {
        "Member",
        "get_organizations",
        "read_uuid",
        "Memberships.filter_named",
        "Memberships.find",
        "Memberships.find_anchor",
        "Memberships.find_member",
        "Memberships.find_named",
        "Memberships.find_organizations",
        "Memberships.find_users",
        "Memberships.get_anchor_field",
        "Memberships.get_model",
        "Memberships.has_slugs",
        "Memberships.is_named",
        "Memberships.is_organization",
        "Memberships.lists_users",
        "Memberships.names_by_itself",
    },
    "models.organizations": {
        "lock_before_members",
        "may_create_organizations",
        "validate_slug",
        "Organization.require_role_change",
        "Organization.save_slug",
    },
    "models.ownership": {"OwnerGuard", "cascade_unless_last_owner"},
    "models.memberships": {"MembershipQuerySet", "RoleMemberships", "guard_owners", "require_owner"},
    "models.api_keys": {"is_unused_since", "validate_expires_at", "ApiKey.created_event"},
    "models.invitations": {
        "hash_token",
        "Invitation.issue",
        "end_invitations",
        "get_url",
        "Invitation.end_declined",
        "Invitation.make_member",
        "Invitation.require_free_address",
        "Invitation.require_verified_address",
    },
    "models.reminders": {"ExpiryReminder.send"},
    "models.usage": {"ApiKeyUsageQuerySet.add", "ApiKeyUsageQuerySet.collect", "to_hour", "to_moment"},
    "models.audit": {"AppendOnlyError", "AuditEntryQuerySet", "AuditJSONEncoder", "AuditedModel"},
    "contrib.django_filters": {"OrganizationChoices", "OrganizationDjangoFilterBackend.get_filterset"},
    "contrib.ninja": {"OrganizationAuthError"},
    "core.access": {
        "admitted",
        "get_admitted_names",
        "find_access",
        "get_default_permission",
        "get_known_access",
        "get_names",
        "refuse_permission",
        "resolve_access",
    },
    "core.callers": {"get_api_key", "get_origin", "set_api_key"},
    "decorators": {"is_publishable"},
    "exceptions": {
        "CodedException",
        "add_code",
        "get_conflict",
        "get_exception",
        "raise_api_exceptions",
        "raise_django_exceptions",
    },
    "fields": {"OrganizationRelation", "get_owner"},
    "organizations": {"get_organization_field"},
    "permissions": {"get_required_permission"},
    "principals": {"get_principal"},
    "throttling": {"WindowThrottle", "count_key"},
}
# Django, REST framework or ``logging`` calls these; ``by`` of ``Organization.delete()`` is documented.
OVERRIDES = {"clean", "save", "delete", "get_user_permissions", "has_permission", "has_object_permission"}
OVERRIDES |= {"filter", "filter_queryset", "get_queryset", "get_serializer", "initial", "allow_request", "wait", "Meta"}
# Classes with the interface of another one, so their methods are not listed.
WHOLE = {"OrganizationPrincipal"}


def read_page():
    """Return the documented names, without ``closient_auth.``; members as ``Class.member``."""
    names = set()
    for kind, path, options in re.findall(r"^\.\. auto(\w+):: closient_auth\.([\w.]+)\n((?:   :.+\n)*)", PAGE, re.M):
        members = re.findall(r":members: (.+)", options)
        prefix = "" if kind == "module" else f"{path.rpartition('.')[2]}."
        names |= {f"{prefix}{name.strip()}" for name in (members[0].split(",") if members else [])}
        if kind != "module":
            names.add(path.rpartition(".")[2])
    return names | set(re.findall(r"`(\w+_(?:created|changed|deleted|added|removed|\w+))`[,\n]", PAGE))


def read_code(name):
    """Return the public names that a module defines."""
    module = import_module(f"closient_auth.{name}")
    names = set()
    for own, value in vars(module).items():
        is_signal = name == "signals" and type(value).__name__ == "Signal"
        is_table = own in ("ROLE_PERMISSIONS",)
        is_own = getattr(value, "__module__", None) == module.__name__ and (
            inspect.isclass(value) or inspect.isfunction(value)
        )
        if own.startswith("_") or not (is_signal or is_table or is_own):
            continue
        names.add(own)
        if is_own and inspect.isclass(value) and own not in WHOLE | INTERNAL.get(name, set()):
            names |= {
                f"{own}.{member}"
                for member, attribute in vars(value).items()
                if not member.startswith("_")
                and member not in OVERRIDES
                and (inspect.isfunction(attribute) or isinstance(attribute, property | classmethod))
                and attribute_module(attribute) == module.__name__
            }
    return names


def attribute_module(attribute):
    return getattr(attribute.fget if isinstance(attribute, property) else attribute, "__module__", None)


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_documented(name):
    assert read_code(name) - INTERNAL.get(name, set()) - read_page() == set()


@pytest.mark.parametrize("name", INTERNAL)
def test_internal_names_exist_and_are_not_documented(name):
    assert INTERNAL[name] - read_code(name) == set()
    assert INTERNAL[name] & read_page() == set()


def test_documented_names_exist():
    found = set().union(*map(read_code, MODULES))
    # A field of a model, a method inherited from Django, and a dataclass.
    assert read_page() - found == {"Organization.delete", "OrganizationPrincipal.has_perm"}


@pytest.mark.parametrize("path", re.findall(r"^\.\. auto\w+:: (closient_auth\.[\w.]+)", PAGE, re.M))
def test_address_is_importable(path):
    module, _, name = path.rpartition(".")
    try:
        import_module(path)
    except ImportError:
        assert hasattr(import_module(module), name)
