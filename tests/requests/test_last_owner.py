"""The deletion of a sole Owner is a 409, with ``exception_handler`` or the middleware of docs/production.md."""

from __future__ import annotations

import re
import sys
from http import HTTPStatus
from types import ModuleType

import pytest
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import ProtectedError
from django.http import HttpResponse
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound
from rest_framework.response import Response

from closient_auth.models import Membership, Organization
from tests.checkout import ROOT
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory

User = get_user_model()
PAGE = (ROOT / "docs" / "production.md").read_text()

pytestmark = pytest.mark.django_db(transaction=True)


@api_view(["DELETE"])
def delete_account(request):
    User.objects.filter(pk=request.user.pk).update(first_name="Gone")
    request.user.delete()
    return Response(status=HTTPStatus.NO_CONTENT)


@api_view(["DELETE"])
def delete_everybody(request):
    User.objects.all().delete()
    return Response(status=HTTPStatus.NO_CONTENT)


@api_view(["DELETE"])
def leave(request):
    Membership.objects.get(user=request.user).remove(by=request.user)
    return Response(status=HTTPStatus.NO_CONTENT)


@api_view(["DELETE"])
def missing(request):
    raise NotFound("No such page.")


@api_view(["DELETE"])
def protected(request):
    raise ProtectedError("Invoices refer to it.", {request.user})


@pytest.fixture(autouse=True)
def handler(settings):
    settings.REST_FRAMEWORK = {
        **settings.REST_FRAMEWORK,
        "EXCEPTION_HANDLER": "closient_auth.exceptions.exception_handler",
    }


@pytest.fixture
def owner():
    """Return the only Owner of Zeta and Acme, who is also one of two Owners and an Editor of other organizations."""
    user = UserFactory.create(first_name="Ada")
    for name in ("Zeta", "Acme"):
        organization = OrganizationFactory.create(name=name, slug=name.lower())
        MembershipFactory.create(organization=organization, user=user, role="owner")
        MembershipFactory.create(organization=organization, role="manager")
    shared = MembershipFactory.create(role="owner").organization
    MembershipFactory.create(organization=shared, user=user, role="owner")
    MembershipFactory.create(organization=MembershipFactory.create(role="owner").organization, user=user)
    return user


def conflict(*slugs):
    found = {organization.slug: organization for organization in Organization.objects.all()}
    return {
        "detail": "An organization must keep at least one active Owner.",
        "code": "last_owner",
        "organizations": [{"id": str(found[slug].pk), "name": found[slug].name, "slug": slug} for slug in slugs],
    }


def read_rows():
    return [list(model._base_manager.order_by("pk").values()) for model in (User, Membership)]


def test_deletion_of_a_sole_owner(call, mount, owner, atomic):
    mount(delete_account)

    response = call(user=owner, method="delete")

    assert (response.status_code, response.json()) == (HTTPStatus.CONFLICT, conflict("acme", "zeta"))
    # With ``ATOMIC_REQUESTS`` the whole request is rolled back.
    assert User.objects.get(pk=owner.pk).first_name == ("Ada" if atomic else "Gone")
    assert owner.closient_auth_memberships.count() == 4


def test_organization_that_has_another_owner_is_not_named(call, mount, owner):
    mount(delete_account)
    MembershipFactory.create(organization=Organization.objects.get(slug="zeta"), role="owner")
    assert call(user=owner, method="delete").json() == conflict("acme")

    MembershipFactory.create(organization=Organization.objects.get(slug="acme"), role="owner")
    assert call(user=owner, method="delete").status_code == HTTPStatus.NO_CONTENT
    assert not User.objects.filter(pk=owner.pk).exists()
    assert Membership.objects.filter(role="owner").count() == 4


def test_organization_of_several_owners_is_named_once(call, mount):
    acme = OrganizationFactory.create(name="Acme", slug="acme")
    owner, _ = (MembershipFactory.create(organization=acme, role="owner").user for _ in range(2))
    mount(delete_everybody)
    before = read_rows()

    response = call(user=owner, method="delete")

    assert (response.status_code, response.json()) == (HTTPStatus.CONFLICT, conflict("acme"))
    assert [[row["id"] for row in rows] for rows in read_rows()] == [[row["id"] for row in rows] for rows in before]


def test_found_under_the_lock(call, mount, monkeypatch):
    """Django checks the protected rows first. The error under the lock comes from another line."""
    owner = MembershipFactory.create(role="owner", organization__name="Acme", organization__slug="acme").user
    monkeypatch.setattr(Membership._meta.get_field("user").remote_field, "on_delete", models.CASCADE)
    mount(delete_account)

    response = call(user=owner, method="delete")

    assert (response.status_code, response.json()) == (HTTPStatus.CONFLICT, conflict("acme"))
    assert User.objects.filter(pk=owner.pk).exists()


def test_last_owner_leaves(call, mount):
    owner = MembershipFactory.create(role="owner", organization__name="Acme", organization__slug="acme").user
    mount(leave)

    assert call(user=owner, method="delete").json() == conflict("acme")
    assert owner.closient_auth_memberships.get().role == "owner"


def test_other_errors_are_left_to_rest_framework(call, mount, owner):
    mount(missing)
    response = call(user=owner, method="delete")
    assert (response.status_code, response.json()) == (HTTPStatus.NOT_FOUND, {"detail": "No such page."})

    mount(protected)
    with pytest.raises(ProtectedError, match="Invoices refer to it"):
        call(user=owner, method="delete")


def test_without_the_handler(call, mount, owner, settings):
    """The tests above fail without it."""
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "EXCEPTION_HANDLER": "rest_framework.views.exception_handler"}
    mount(delete_account)

    with pytest.raises(ProtectedError):
        call(user=owner, method="delete")


def delete_plainly(request):
    request.user.delete()
    return HttpResponse("Good-bye")


async def delete_async(request):
    user = await request.auser()
    await user.adelete()
    return HttpResponse("Good-bye")


@pytest.fixture
def middleware(settings, monkeypatch):
    """Add the middleware of docs/production.md and a template for it."""
    (block,) = re.findall(r"^```python\n(# shop/middleware.py\n.*?)^```$", PAGE, re.M | re.S)
    module = ModuleType("last_owner_middleware")
    exec(compile(block, "docs/production.md", "exec"), vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{module.__name__}.LastOwnerMiddleware"]
    template = "{% for organization in organizations %}{{ organization.name }};{% endfor %}"
    loader = ("django.template.loaders.locmem.Loader", {"shop/last_owner.html": template})
    backend = "django.template.backends.django.DjangoTemplates"
    settings.TEMPLATES = [{"BACKEND": backend, "OPTIONS": {"loaders": [loader]}}]


@pytest.mark.usefixtures("middleware")
@pytest.mark.parametrize("view", [delete_plainly, delete_async])
def test_middleware_of_the_documentation(view, client, mount, owner):
    mount(view)
    client.force_login(owner)

    refused = client.post("/")

    assert (refused.status_code, refused.content) == (HTTPStatus.CONFLICT, b"Acme;Zeta;")
    assert User.objects.filter(pk=owner.pk).exists()
    for organization in Organization.objects.filter(slug__in=["acme", "zeta"]):
        organization.delete()
    assert client.post("/").content == b"Good-bye"
    assert not User.objects.filter(pk=owner.pk).exists()


@pytest.mark.usefixtures("middleware")
def test_middleware_leaves_other_errors_alone(client, mount, owner):
    def fail(request):
        raise ProtectedError("Invoices refer to it.", {owner})

    mount(fail)

    with pytest.raises(ProtectedError, match="Invoices refer to it"):
        client.post("/")
