from __future__ import annotations

import inspect
from itertools import product
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.context_processors import auth
from django.contrib.auth.decorators import permission_required, user_passes_test
from django.contrib.auth.mixins import LoginRequiredMixin, PermissionRequiredMixin
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.template import Context, Template
from django.test import RequestFactory
from django.views import View

from closient_auth.models import ApiKey
from closient_auth.principals import OrganizationPrincipal
from tests.factories import OrganizationFactory, UserFactory, make_key

PERMISSIONS = {
    #                                        csb    cpk
    "organization.view_organization":       (True, True),
    "organization.contribute_organization": (True, False),
    "organization.manage_billing":          (True, False),
    "organization.manage_api_keys":         (True, False),
    "organization.manage_members":          (True, False),
    "organization.delete_organization":     (True, False),
    "offers.publish":                       (True, False),
    "organization.unheard_of":              (False, False),
    "auth.change_user":                     (False, False),
    "":                                     (False, False),
}  # fmt: skip
PREFIXES = ("csb", "cpk")
PUBLIC = sorted(name for name in dir(AnonymousUser) if not name.startswith("_"))
COROUTINES = [name for name in PUBLIC if inspect.iscoroutinefunction(getattr(AnonymousUser, name))]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def host_permissions(settings):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"editor": ["offers.publish"]}}


@pytest.fixture
def principal():
    return make_principal("csb")


def make_principal(prefix, **kwargs):
    return OrganizationPrincipal(make_key(prefix, **kwargs)[0])


@pytest.mark.parametrize("prefix", PREFIXES)
def test_identity(prefix):
    organization = OrganizationFactory.create()
    principal = make_principal(prefix, organization=organization)

    assert principal.organization == organization
    assert principal.pk == principal.id == f"organization:{organization.pk}"
    assert principal.get_username() == principal.username == str(principal) == principal.pk
    assert repr(principal) == f"<OrganizationPrincipal: organization:{organization.pk}>"
    assert (principal.is_authenticated, principal.is_active) == (True, True)
    assert (principal.is_anonymous, principal.is_staff, principal.is_superuser) == (False, False, False)
    assert (list(principal.groups.all()), list(principal.user_permissions.all())) == ([], [])


@pytest.mark.parametrize("name", PUBLIC)
def test_whole_protocol_of_the_anonymous_user(principal, name):
    theirs, ours = getattr(AnonymousUser(), name), getattr(principal, name)

    assert callable(ours) == callable(theirs)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)
    if inspect.isroutine(theirs):
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


@pytest.mark.parametrize(
    ("name", "args"), [("save", ()), ("delete", ()), ("set_password", "x"), ("check_password", "x")]
)
def test_it_is_no_row(principal, name, args):
    with pytest.raises(NotImplementedError, match="not a row of the user table"):
        getattr(principal, name)(*args)


def test_it_is_no_number(principal):
    with pytest.raises(TypeError, match="Cannot cast OrganizationPrincipal to int"):
        int(principal)


@pytest.mark.parametrize(("prefix", "perm"), [*product(PREFIXES, PERMISSIONS)])
def test_permission_in_the_own_organization_and_nowhere_else(prefix, perm):
    principal = make_principal(prefix)
    elsewhere = [None, OrganizationFactory.create(), UserFactory.create(), principal.organization.pk, "", object()]
    expected = PERMISSIONS[perm][PREFIXES.index(prefix)]

    assert principal.has_perm(perm, principal.organization) is expected
    assert async_to_sync(principal.ahas_perm)(perm, principal.organization) is expected
    assert not any(principal.has_perm(perm, obj) for obj in elsewhere)
    assert not principal.has_module_perms(perm.partition(".")[0])


@pytest.mark.parametrize("prefix", PREFIXES)
def test_sets_of_permissions(prefix):
    principal = make_principal(prefix)
    organization = principal.organization
    granted = {perm for perm, row in PERMISSIONS.items() if row[PREFIXES.index(prefix)]}

    assert principal.get_all_permissions(organization) == principal.get_user_permissions(organization) == granted
    assert principal.get_group_permissions(organization) == set()
    assert principal.get_all_permissions() == principal.get_all_permissions(OrganizationFactory.create()) == set()
    assert principal.has_perms(granted, organization)
    assert not principal.has_perms([*granted, "auth.change_user"], organization)
    assert not principal.has_perms(granted)
    assert principal.has_perms([], organization)


@pytest.mark.parametrize("name", COROUTINES)
def test_async_twin_agrees(principal, name):
    parameter = next(iter(inspect.signature(getattr(principal, name)).parameters))
    arguments: dict[str, list[Any]] = {
        "perm": ["organization.manage_billing"],
        "perm_list": [["organization.manage_billing", "offers.publish"]],
        "module": ["organization"],
        "obj": [],
    }
    rests: list[list[Any]] = (
        [[]] if parameter == "module" else [[], [principal.organization], [OrganizationFactory.create()]]
    )
    for rest in rests:
        expected = getattr(principal, name.removeprefix("a"))(*arguments[parameter], *rest)
        assert async_to_sync(getattr(principal, name))(*arguments[parameter], *rest) == expected


@pytest.mark.parametrize("perm_list", ["organization.view_organization", None, 1])
def test_a_list_of_permissions_must_be_one(principal, perm_list):
    with pytest.raises(ValueError, match="must be an iterable"):
        principal.has_perms(perm_list, principal.organization)
    with pytest.raises(ValueError, match="must be an iterable"):
        async_to_sync(principal.ahas_perms)(perm_list, principal.organization)


def test_keys_of_one_organization_and_type_are_one_principal():
    organization = OrganizationFactory.create()
    one, same = (make_principal("csb", organization=organization) for _ in range(2))

    assert one == same
    assert len({one, same}) == 1
    for other in (make_principal("cpk", organization=organization), make_principal("csb"), organization, one.pk, None):
        assert one != other


def test_user_key_acts_as_no_organization():
    api_key, _ = make_key("csu")

    with pytest.raises(ValueError, match="This key does not belong to an organization"):
        OrganizationPrincipal(api_key)


@pytest.mark.parametrize("prefix", ["csu", "", "csx"])
def test_key_of_no_known_type_acts_as_nobody(prefix):
    api_key = ApiKey(prefix=prefix, organization=OrganizationFactory.build())

    with pytest.raises(ValueError, match="do not belong to an organization"):
        OrganizationPrincipal(api_key)


def test_it_carries_neither_key_nor_hash():
    api_key, raw_key = make_key("csb", name="Server")
    principal = OrganizationPrincipal(api_key)

    shown = f"{principal} {principal!r} {vars(principal)}"
    assert raw_key not in shown
    assert api_key.hashed_key not in shown


# The tests below use Django's access mixins and decorators. These check permissions without an object.


class Gate(PermissionRequiredMixin, View):
    permission_required = "organization.view_organization"
    raise_exception = True

    def get(self, request):
        return HttpResponse("in")


class OpenGate(LoginRequiredMixin, Gate):
    def has_permission(self):
        user: Any = self.request.user
        return user.has_perms(self.get_permission_required(), user.organization)


@pytest.fixture
def request_of(rf: RequestFactory, principal):
    request = rf.get("/")
    request.user = principal
    return request


def test_permission_required_mixin_refuses_without_an_organization(request_of):
    with pytest.raises(PermissionDenied):
        Gate.as_view()(request_of)


def test_permission_required_mixin_passes_with_the_organization(request_of):
    response: Any = OpenGate.as_view()(request_of)

    assert response.content == b"in"


def test_decorators(request_of):
    def view(request):
        return HttpResponse("in")

    assert user_passes_test(lambda user: user.is_authenticated)(view)(request_of).content == b"in"
    assert user_passes_test(lambda user: user.is_staff, "/login/")(view)(request_of).status_code == 302
    with pytest.raises(PermissionDenied):
        permission_required("organization.view_organization", raise_exception=True)(view)(request_of)


def test_permissions_in_templates(request_of):
    template = "{% if perms.organization.view_organization %}yes{% else %}no{% endif %} {{ user }}"

    assert Template(template).render(Context(auth(request_of))) == f"no {request_of.user.pk}"
