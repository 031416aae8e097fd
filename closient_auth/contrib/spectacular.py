"""
drf-spectacular extensions for the authenticator and the management API.

``apps.py`` loads them if the project lists ``drf_spectacular`` in ``INSTALLED_APPS``.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.drainage import isolate_view_method
from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
    OpenApiViewExtension,
)
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.exceptions import APIException, NotFound, Throttled

from closient_auth import exceptions
from closient_auth.api import serializers
from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.conf import conf
from closient_auth.keys import KeyType

# REST framework refuses NUL, because PostgreSQL cannot store it.
TEXT = r"^[^\x00]+$"
NOT_BLANK = r"^[^\x00]*[^\x00\s][^\x00]*$"
# Request and response of the actions that do not use the view's serializer for both.
EMPTY = {"request": None, "responses": {204: None}}
NEW_KEY = {"responses": {201: serializers.NewUserKeySerializer}}
OPERATIONS: dict[tuple[str, str], dict[str, Any]] = {
    ("OwnKeyViewSet", "destroy"): EMPTY,
    ("OrganizationApiKeyViewSet", "create"): NEW_KEY,
    ("OrganizationApiKeyViewSet", "rotate"): NEW_KEY,
    ("UserApiKeyViewSet", "create"): NEW_KEY,
    ("UserApiKeyViewSet", "rotate"): NEW_KEY,
    ("MembershipViewSet", "destroy"): {"request": None, "responses": {200: serializers.RemovalSerializer}},
    ("InvitationViewSet", "resend"): {"request": None, "responses": {200: serializers.InvitationSerializer}},
}
VERBS = {
    "list": "List",
    "retrieve": "Get",
    "create": "Create",
    "partial_update": "Update",
    "destroy": "Revoke",
    "rotate": "Rotate",
    "resend": "Resend",
}
# For each view: tag, singular noun, plural noun, and verbs other than the default.
VIEWS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "MeViewSet": ("me", "the current credential", "", {}),
    "OwnKeyViewSet": ("me", "the current key", "", {}),
    "UserApiKeyViewSet": ("me", "a user key", "your user keys", {}),
    "OrganizationsViewSet": ("organizations", "an organization", "your organizations", {}),
    "OrganizationViewSet": ("organizations", "an organization", "", {"destroy": "Delete"}),
    "OrganizationApiKeyViewSet": ("keys", "a key", "keys", {}),
    "MembershipViewSet": ("members", "a member", "members", {"destroy": "Remove"}),
    "InvitationViewSet": ("invitations", "an invitation", "invitations", {"create": "Send", "destroy": "Withdraw"}),
    "AcceptanceViewSet": ("invitations", "an invitation", "", {"create": "Accept"}),
    "AuditViewSet": ("audit", "", "audit log entries", {}),
}
SUMMARIES: dict[tuple[str, str], dict[str, Any]] = {
    (view, action): {"tags": [tag], "summary": f"{verb} {many if action == 'list' else one}"}
    for view, (tag, one, many, verbs) in VIEWS.items()
    for action, verb in (VERBS | verbs).items()
}
EXAMPLES: dict[type[serializers.Serializer], dict[str, Any]] = {
    serializers.OrganizationSerializer: {"name": "Alpine Outdoor", "slug": "alpine-outdoor"},
    serializers.ApiKeySerializer: {
        "name": "warehouse",
        "description": "Counts the stock.",
        "expires_at": None,
        "rate_limit_per_minute": 0,
        "rate_limit_per_day": 0,
    },
}
# The description of each error, and the exception for its example.
ERRORS: dict[int, tuple[str, type[APIException] | None]] = {
    400: ("The body or a query parameter is invalid.", None),
    401: ("The credential is missing or invalid.", exceptions.InvalidApiKey),
    403: ("The credential is not allowed to do this.", exceptions.SessionRequired),
    404: ("Not found, or not accessible with this credential.", NotFound),
    409: ("The request conflicts with the current state.", exceptions.Conflict),
    429: ("Too many requests.", Throttled),
    503: ("The rate limits are unavailable.", exceptions.LimitsUnavailable),
}
# The errors that do not occur for an action.
ABSENT = {"list": {409}, "retrieve": {400, 409}, "destroy": {400}}


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "closient_auth.authentication.ApiKeyAuthentication"
    match_subclasses = True
    name = "ApiKey"

    def __init__(self, target: Any) -> None:
        super().__init__(target)  # type: ignore[no-untyped-call]
        # The management API uses the class itself, so a subclass needs another name.
        if type(target) is not ApiKeyAuthentication:
            self.name = type(target).__name__

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": conf.HEADER}


class TextField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "closient_auth.api.serializers.TextField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Any:
        schema = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)
        return schema | {"pattern": TEXT if self.target.allow_blank else NOT_BLANK}


class Serializer(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Declare that unknown fields are refused."""

    target_class = "closient_auth.api.serializers.Serializer"
    match_subclasses = True

    def get_name(self, auto_schema: Any, direction: Any) -> str:
        # The prefix avoids name clashes: the project may have its own ``Organization`` component.
        return "Closient" + type(self.target).__name__.removesuffix("Serializer")

    def map_serializer(self, auto_schema: Any, direction: Any) -> Any:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        schema["additionalProperties"] = False
        for serializer, examples in EXAMPLES.items():
            for name in examples if isinstance(self.target, serializer) else ():
                schema["properties"][name]["example"] = examples[name]
        if isinstance(self.target, serializers.NewApiKeySerializer) and "prefix" in schema["properties"]:
            # drf-spectacular warns about a second enum for ``prefix``, so a pattern excludes user keys.
            schema["properties"]["prefix"]["pattern"] = f"^({KeyType.BUSINESS}|{KeyType.PUBLISHABLE})$"
        return schema


class ManagementView(OpenApiViewExtension):  # type: ignore[no-untyped-call]
    target_class = "closient_auth.api.base.ManagementViewSet"
    match_subclasses = True

    def view_replacement(self) -> Any:
        name = self.target.__name__
        view = type(name, (self.target,), {"__doc__": self.target.__doc__})
        for action in self.target_callback.actions.values():
            self._describe(name, action)(isolate_view_method(view, action))  # type: ignore[no-untyped-call]
        return view

    def _describe(self, view: str, action: str) -> Any:
        operation = OPERATIONS.get((view, action)) or (EMPTY if action == "destroy" else {})
        success = operation.get("responses") or {201 if action == "create" else 200: self.target.serializer_class}
        if action == "list":
            success = {200: self.target.serializer_class(many=True)}
        errors = {
            status: OpenApiResponse(OpenApiTypes.OBJECT, text, _get_examples(status, error))
            for status, (text, error) in ERRORS.items()
            if status not in ABSENT.get(action, ())
        }
        filters = [serializers.PageSerializer, self.target.filter_serializer_class] if action == "list" else []
        parameters = [serializer for serializer in filters if serializer]
        summary = SUMMARIES.get((view, action), {})
        return extend_schema(**operation | summary | {"parameters": parameters, "responses": success | errors})


def _get_examples(status: int, error: type[APIException] | None) -> list[OpenApiExample]:
    if error is None:
        return []
    body = {"detail": str(error.default_detail)}
    if issubclass(error, exceptions.CodedException):
        body["code"] = error.default_code
    return [OpenApiExample(error.__name__, body, response_only=True, status_codes=[str(status)])]
