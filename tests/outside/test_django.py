"""The examples for views of Django."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.test import Client

from tests.factories import MembershipFactory, UserFactory, make_key
from tests.models import Project

LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"


@pytest.fixture
def urls(shop, mount, settings):
    shop("views")
    mount(*shop("urls").urlpatterns)
    # The page does not print the template.
    loaders = [("django.template.loaders.locmem.Loader", {"shop/products.html": "{% for p in object_list %}{{ p }}"})]
    loaders[0][1]["shop/products.html"] += "{% endfor %}"
    templates = [{**settings.TEMPLATES[0], "OPTIONS": {**settings.TEMPLATES[0]["OPTIONS"], "loaders": loaders}}]
    templates[0].pop("APP_DIRS")
    settings.TEMPLATES = templates


@pytest.fixture
def tent(acme):
    Project.objects.create(organization=MembershipFactory.create().organization, name="Foreign")
    return Project.objects.create(organization=acme, name="Tent")


@pytest.mark.usefixtures("urls")
def test_keys_read_the_products_of_their_organization(send, tent, csb, cpk):
    for raw_key in (csb, cpk):
        response = send("/products", raw_key)
        assert response.json() == {"products": [{"id": tent.pk, "name": "Tent"}]}
        assert response["Cache-Control"] == "private, no-store"
        assert "X-API-Key" in response["Vary"]
        assert response["RateLimit-Remaining"] == ("299" if raw_key == csb else "99")
    assert send("/pages/products", csb).content == b"Tent"
    assert send("/pages/products", cpk).json()["code"] == "publishable_key_refused"
    assert send("/organizations/acme/products", csb).status_code == HTTPStatus.OK
    assert send("/organizations/other/products", csb).status_code == HTTPStatus.NOT_FOUND
    assert send("/products", csb, x_organization="other").status_code == HTTPStatus.NOT_FOUND


@pytest.mark.usefixtures("urls")
def test_delete_needs_its_permission(send, acme, tent, csb):
    member = MembershipFactory.create(organization=acme, role="editor")
    path = f"/products/{tent.pk}/delete"

    refused = send(path, make_key("csu", user=member.user)[1], method="post")
    assert (refused.status_code, refused.json()["code"]) == (HTTPStatus.FORBIDDEN, "permission_denied")
    assert send(path, make_key("csb")[1], method="post").status_code == HTTPStatus.NOT_FOUND
    assert Project.objects.filter(pk=tent.pk).exists()
    assert send(path, csb, method="post").status_code == HTTPStatus.NO_CONTENT
    assert not Project.objects.filter(pk=tent.pk).exists()


@pytest.mark.usefixtures("urls")
def test_session_needs_a_csrf_token(acme, tent):
    owner = MembershipFactory.create(organization=acme, role="owner").user
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    client.cookies["csrftoken"] = token = "a" * 32

    refused = client.post(f"/products/{tent.pk}/delete")
    assert (refused.status_code, refused.json()["code"]) == (HTTPStatus.FORBIDDEN, "csrf_failed")
    response = client.post(f"/products/{tent.pk}/delete", headers={"X-CSRFToken": token})
    assert response.status_code == HTTPStatus.NO_CONTENT


@pytest.mark.usefixtures("urls")
def test_a_link_does_not_delete(client, acme, tent):
    """A GET request needs no CSRF token."""
    client.force_login(MembershipFactory.create(organization=acme, role="owner").user)

    assert client.get(f"/products/{tent.pk}/delete").status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert Project.objects.filter(pk=tent.pk).exists()


@pytest.mark.usefixtures("urls")
def test_nobody_is_redirected_to_the_login_page(send, settings, csb):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, LOGIN_REQUIRED]

    refused = send("/products")
    assert (refused.status_code, refused.json()["code"]) == (HTTPStatus.UNAUTHORIZED, "not_authenticated")
    assert send("/products", csb).status_code == HTTPStatus.OK


def test_page_for_people(shop, mount, send, acme, csb):
    mount(shop("pages").billing)
    members = {role: MembershipFactory.create(organization=acme, role=role).user for role in ("billing", "editor")}

    assert send("/", user=members["billing"]).content == b"Billing of Acme"
    assert send("/", user=members["editor"]).status_code == HTTPStatus.FORBIDDEN
    assert send("/", user=UserFactory.create()).status_code == HTTPStatus.BAD_REQUEST
    assert send("/", user=members["billing"], x_organization="other").status_code == HTTPStatus.NOT_FOUND
    assert send("/", csb).status_code == HTTPStatus.FOUND


def test_async_view(shop, mount, send, acme, tent):
    mount(shop("async_views").product_names)
    user = MembershipFactory.create(organization=acme, role="editor").user
    _, raw_key = make_key("csu", user=user)

    expected = {"user": str(user), "products": ["Tent"], "may_delete": False}
    assert send("/", raw_key).json() == expected
    # The session belongs to somebody else.
    assert send("/", raw_key, user=UserFactory.create()).json() == expected
