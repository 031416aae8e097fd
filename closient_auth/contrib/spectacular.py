"""The drf-spectacular extensions. ``apps.py`` loads them if ``drf_spectacular`` is in ``INSTALLED_APPS``."""

from typing import Any

from drf_spectacular import extensions
from drf_spectacular.drainage import isolate_view_method
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.exceptions import APIException, NotFound

from closient_auth import exceptions
from closient_auth.api import serializers
from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.conf import conf
from closient_auth.roles import get_all_permissions

# REST framework refuses NUL, because PostgreSQL cannot store it.
TEXT = r"^[^\x00]+$"
NOT_BLANK = r"^[^\x00]*[^\x00\s][^\x00]*$"
VERBS = {"retrieve": "Get", "partial_update": "Update", "destroy": "Delete"}
# The description of each error, and the exception for its example.
ERRORS: dict[int, tuple[str, type[APIException] | None]] = {
    400: ("The body or a query parameter is invalid.", None),
    401: ("The credential is missing or invalid.", exceptions.InvalidApiKey),
    403: ("The credential is not allowed to do this.", exceptions.SessionRequired),
    404: ("Not found, or not accessible with this credential.", NotFound),
    409: ("The request conflicts with the current state.", exceptions.Conflict),
    429: ("Too many requests.", exceptions.Throttled),
    503: ("The rate limits are unavailable.", exceptions.LimitsUnavailable),
}
# The errors that do not occur for an action.
ABSENT = {"list": {409}, "retrieve": {400, 409}, "destroy": {400}}


class ApiKeyScheme(extensions.OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "closient_auth.authentication.ApiKeyAuthentication"
    match_subclasses = True

    @property
    def name(self) -> str:  # type: ignore[override]
        # The management API uses the class itself, so a subclass needs another name.
        return "ApiKey" if type(self.target) is ApiKeyAuthentication else type(self.target).__name__

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": conf.HEADER}


class TextField(extensions.OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "closient_auth.api.serializers.TextField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Any:
        schema = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)
        return schema | {"pattern": TEXT if self.target.allow_blank else NOT_BLANK}


class Serializer(extensions.OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    target_class = "closient_auth.api.serializers.Serializer"
    match_subclasses = True

    def get_name(self, auto_schema: Any, direction: Any) -> str:
        # The prefix avoids name clashes: the project may have its own ``Organization`` component.
        return "Closient" + type(self.target).__name__.removesuffix("Serializer")

    def map_serializer(self, auto_schema: Any, direction: Any) -> Any:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        schema["additionalProperties"] = False
        for name, example in self.target.examples.items():
            schema["properties"][name]["example"] = example
        if isinstance(self.target, serializers.ApiKeySerializer):
            schema["properties"]["permissions"]["items"]["enum"] = sorted(get_all_permissions())
        if isinstance(self.target, serializers.NewApiKeySerializer) and "prefix" in schema["properties"]:
            # drf-spectacular warns about a second enum for ``prefix``, so a pattern excludes user keys.
            schema["properties"]["prefix"]["pattern"] = f"^({'|'.join(serializers.ORGANIZATION_KEYS)})$"
        return schema


class ApiView(extensions.OpenApiViewExtension):  # type: ignore[no-untyped-call]
    target_class = "closient_auth.api.base.ApiViewSet"
    match_subclasses = True

    def view_replacement(self) -> Any:
        view = type(self.target.__name__, (self.target,), {})
        for action in self.target_callback.actions.values():
            extend_schema(**_describe(view, action))(isolate_view_method(view, action))  # type: ignore[no-untyped-call]
        return view


def _describe(view: Any, action: str) -> dict[str, Any]:
    """Return the arguments of ``extend_schema`` for an action of the view."""
    is_list, status = action == "list", {"create": 201, "destroy": 204}.get(action, 200)
    filters = [serializers.PageSerializer, view.filter_serializer_class] if is_list else []
    verb = (VERBS | view.verbs).get(action, action.capitalize())
    operation = {
        "tags": [view.tag],
        "summary": f"{verb} {view.nouns if is_list else view.noun}",
        "parameters": [serializer for serializer in filters if serializer().fields],
        "responses": {status: view.serializer_class if status != 204 else None},
        **view.operations.get(action, {}),
    }
    errors = {
        status: OpenApiResponse(OpenApiTypes.OBJECT, text, [_get_example(status, error)] if error else [])
        for status, (text, error) in ERRORS.items()
        if status not in ABSENT.get(action, ())
    }
    return operation | {"responses": operation["responses"] | errors}


def _get_example(status: int, error: type[APIException]) -> OpenApiExample:
    body = {"detail": str(error.default_detail)}
    if issubclass(error, exceptions.CodedException):
        body["code"] = error.default_code
    return OpenApiExample(error.__name__, body, response_only=True, status_codes=[str(status)])
