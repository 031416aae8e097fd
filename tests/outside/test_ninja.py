"""The examples for django-ninja."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import path

from tests.factories import MembershipFactory, UserFactory, make_key
from tests.models import Project
from tests.outside.page import get_block
from tests.readme import run

LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"


@pytest.fixture
def api(shop, mount, settings, monkeypatch):
    # Ninja refuses a second API with the same name in one process.
    monkeypatch.setenv("NINJA_SKIP_REGISTRY", "1")
    settings.MIDDLEWARE = run(get_block("MIDDLEWARE += "), MIDDLEWARE=list(settings.MIDDLEWARE))["MIDDLEWARE"]
    api = shop("api").api
    mount(path("api/", api.urls))
    return api


@pytest.mark.usefixtures("api")
def test_operations_have_their_permissions(send, acme, csb, cpk):
    _, csu = make_key("csu", user=MembershipFactory.create(organization=acme, role="editor").user)

    assert send("/api/products", csu, method="post", data={"name": "Tent"}).json() == {"name": "Tent"}
    product = Project.objects.get(organization=acme)
    response = send("/api/products", cpk)
    assert response.json() == [{"name": "Tent"}]
    assert response["Cache-Control"] == "private, no-store"
    assert response["RateLimit-Remaining"] == "99"
    assert send("/api/products", make_key("csb")[1]).json() == []
    refused = send("/api/products", cpk, method="post", data={"name": "Tent"})
    assert (refused.status_code, refused.json()["code"]) == (HTTPStatus.FORBIDDEN, "publishable_key_refused")
    refused = send(f"/api/products/{product.pk}", csu, method="delete")
    assert (refused.status_code, refused.json()["required_permission"]) == (
        HTTPStatus.FORBIDDEN,
        "organization.manage_billing",
    )
    assert send(f"/api/products/{product.pk}", csb, method="delete").status_code == HTTPStatus.NO_CONTENT


@pytest.mark.usefixtures("api")
def test_middleware_is_needed(send, settings, csb):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "ResponseHeaders" not in name]

    with pytest.raises(ImproperlyConfigured, match="ResponseHeadersMiddleware"):
        send("/api/products", csb)


@pytest.mark.usefixtures("api")
def test_login_required_middleware(shop, mount, send, settings, csb):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, LOGIN_REQUIRED]

    assert send("/api/products", csb).status_code == HTTPStatus.FOUND
    mount(*shop("api_urls").urlpatterns)
    assert send("/api/products", csb).status_code == HTTPStatus.OK
    assert send("/api/products").status_code == HTTPStatus.UNAUTHORIZED


@pytest.mark.usefixtures("api")
def test_another_class_is_called_without_a_key_and_without_a_session(mount, send, acme, csb):
    from ninja import NinjaAPI
    from ninja.security import HttpBearer

    from closient_auth.contrib.ninja import OrganizationAuth, protect

    class PartnerToken(HttpBearer):
        def authenticate(self, request, token):
            return token if token == "partner" else None

    other = protect(NinjaAPI(auth=[OrganizationAuth(), PartnerToken()], urls_namespace="other"))
    other.get("/auth")(lambda request: {"auth": str(type(request.auth).__name__)})
    mount(path("", other.urls))
    member = MembershipFactory.create(organization=acme).user

    assert send("/auth", authorization="Bearer partner").json() == {"auth": "str"}
    assert send("/auth", csb, authorization="Bearer partner").json() == {"auth": "ApiKey"}
    assert send("/auth", user=member, authorization="Bearer partner").json()["auth"] not in {"str", "ApiKey"}
    for headers in ({"authorization": "Bearer x"}, {"raw_key": "junk", "authorization": "Bearer partner"}):
        assert send("/auth", **headers).status_code == HTTPStatus.UNAUTHORIZED
    refused = send("/auth", user=UserFactory.create(), authorization="Bearer partner")
    assert refused.json()["code"] == "organization_required"


@pytest.mark.usefixtures("api")
def test_controllers_of_ninja_extra(mount, send, settings, acme, csb, cpk):
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "ninja_extra"]
    from ninja_extra import NinjaExtraAPI, api_controller, http_get

    from closient_auth.contrib.ninja import OrganizationAuth, protect
    from closient_auth.organizations import get_organization

    @api_controller("/products", auth=OrganizationAuth())
    class ProductController:
        @http_get("")
        def list_products(self, request):
            return {"organization": get_organization(request).slug}

    extra = protect(NinjaExtraAPI(urls_namespace="extra"))
    extra.register_controllers(ProductController)
    mount(path("", extra.urls))

    response = send("/products", csb)
    assert response.json() == {"organization": "acme"}
    assert response["Cache-Control"] == "private, no-store"
    assert send("/products", cpk).json()["code"] == "publishable_key_refused"
