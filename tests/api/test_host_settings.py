"""The management API ignores the defaults of the project's ``REST_FRAMEWORK`` setting."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from rest_framework.authentication import BasicAuthentication
from rest_framework.exceptions import NotFound
from rest_framework.filters import BaseFilterBackend
from rest_framework.generics import GenericAPIView
from rest_framework.metadata import SimpleMetadata
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.parsers import FormParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.throttling import BaseThrottle
from rest_framework.versioning import BaseVersioning
from rest_framework.views import APIView

from closient_auth.models import ApiKey
from tests.factories import make_key


class NobodyMay(BasePermission):
    def has_permission(self, request, view):
        return False


class AlwaysTooMany(BaseThrottle):
    def allow_request(self, request, view):
        return False


class NoSuchVersion(BaseVersioning):
    def determine_version(self, request, *args, **kwargs):
        raise NotFound


class NoRows(BaseFilterBackend):
    def filter_queryset(self, request, queryset, view):
        return queryset.none()


# REST framework copies its ``DEFAULT_`` settings once to class attributes, so the test sets the attributes.
DEFAULTS = {
    APIView: {
        "authentication_classes": [BasicAuthentication],
        "permission_classes": [NobodyMay],
        "throttle_classes": [AlwaysTooMany],
        "parser_classes": [FormParser],
        "renderer_classes": [BrowsableAPIRenderer],
        "versioning_class": NoSuchVersion,
        "metadata_class": SimpleMetadata,
    },
    GenericAPIView: {"pagination_class": LimitOffsetPagination, "filter_backends": [NoRows]},
}


@pytest.fixture
def other_defaults(monkeypatch, settings):
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DATETIME_INPUT_FORMATS": ["%d/%m/%Y"]}
    for view, attributes in DEFAULTS.items():
        for name, value in attributes.items():
            monkeypatch.setattr(view, name, value)


@pytest.mark.usefixtures("other_defaults")
def test_other_defaults(send, call, tree, acme, people):
    times = {"expires_at": "2099-01-01T00:00:00Z"}
    created = send("owner", "post", f"{tree}/keys", {"prefix": "csb"} | times)
    assert (created.status_code, created["Content-Type"]) == (HTTPStatus.CREATED, "application/json")
    assert created.json().items() >= times.items()
    assert call("/me", created.json()["key"]).json()["type"] == "organization"
    for address in ("/organizations", tree, f"{tree}/keys", f"{tree}/members", "/me", "/me/keys"):
        assert send("owner", "get", address).status_code == HTTPStatus.OK

    page = send("owner", "get", f"{tree}/members?page_size=1").json()
    assert (page["count"], len(page["results"]), page["next"]) == (
        4,
        1,
        f"http://testserver{tree}/members?page=2&page_size=1",
    )
    html = send("owner", "get", tree, accept="text/html")
    assert (html.status_code, html["Content-Type"]) == (HTTPStatus.NOT_ACCEPTABLE, "application/json")
    assert (html["Vary"].split(", ")[0], html["Cache-Control"]) == ("X-API-Key", "private, no-store")
    options = send("owner", "options", tree)
    assert (options.status_code, options["Allow"]) == (HTTPStatus.METHOD_NOT_ALLOWED, "GET, PATCH, DELETE, HEAD")

    _, raw_key = make_key("csu", user=people["editor"])
    assert call("/me/key", raw_key, method="delete").status_code == HTTPStatus.NO_CONTENT
    assert ApiKey.objects.active().count() == 1


def test_standardized_errors(send, call, tree, acme, settings):
    """The documentation describes the combination with ``drf-standardized-errors``."""
    handler = "drf_standardized_errors.handler.exception_handler"
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "EXCEPTION_HANDLER": handler}

    refused = call(f"{tree}/keys", make_key(organization=acme)[1], method="post", data={"prefix": "csb"})

    assert refused.status_code == HTTPStatus.FORBIDDEN
    assert refused.json() == {
        "type": "client_error",
        "errors": [
            {
                "code": "session_required",
                "detail": "API keys cannot make this request. Sign in as a user.",
                "attr": "detail",
            },
            {"code": "session_required", "detail": "session_required", "attr": "code"},
        ],
    }
    invalid = send("owner", "post", f"{tree}/keys", {"prefix": "csb", "nonsense": 1})
    assert (invalid.status_code, invalid.json()["type"]) == (HTTPStatus.BAD_REQUEST, "validation_error")
    assert [(error["code"], error["attr"]) for error in invalid.json()["errors"]] == [("fixed", "nonsense")]
