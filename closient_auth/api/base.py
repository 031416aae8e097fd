"""Shared code of the management API. It does not depend on the project's ``REST_FRAMEWORK`` setting."""

import json
from collections.abc import Collection
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import IntegrityError, router
from django.db.models import ProtectedError, QuerySet, RestrictedError
from django.utils.translation import gettext as _
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import NotFound, ParseError, ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import JSONParser
from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from closient_auth.actors import Actor, get_actor
from closient_auth.api import serializers
from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.conf import conf
from closient_auth.core.access import refuse_permission
from closient_auth.core.rates import CHANGE_WINDOWS
from closient_auth.exceptions import Conflict, PermissionDenied, add_code, get_conflict, raise_api_exceptions
from closient_auth.headers import forbid_storing, vary_on
from closient_auth.memberships import get_memberships, read_uuid
from closient_auth.models import ApiKey, LastOwnerError, Organization
from closient_auth.models.locks import is_deadlock
from closient_auth.models.organizations import NotAMemberError
from closient_auth.organizations import get_access, get_organization
from closient_auth.permissions import HasOrganizationPermission, SessionOnly
from closient_auth.throttling import ApiKeyRateThrottle, WindowThrottle


class Pages(PageNumberPagination):
    page_size = 25
    max_page_size = 100
    page_size_query_param = "page_size"

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        # REST framework would ignore an invalid page size.
        serializers.PageSerializer(data=request.query_params.dict()).is_valid(raise_exception=True)
        return super().paginate_queryset(queryset, request, view)


class BoundedJSONParser(JSONParser):
    """Parse the body as UTF-8 (RFC 8259, section 8.1) and ignore the request's charset.

    Some of Python's other codecs decompress their input or take minutes. Raise ``ParseError`` for deep nesting and for
    lone surrogates, because both cause a 500 in REST framework.
    """

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            data = super().parse(stream, media_type, {**(parser_context or {}), "encoding": "utf-8"})
            json.dumps(data, ensure_ascii=False).encode()
        except RecursionError as error:
            raise ParseError(_("The JSON is nested too deeply.")) from error
        except UnicodeEncodeError:
            raise ParseError(_("The JSON contains invalid Unicode.")) from None
        return data


class SessionForWrites(SessionOnly):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.method in SAFE_METHODS or super().has_permission(request, view)


class ChangeThrottle(WindowThrottle):
    """Limit how much a signed-in user creates and changes of each kind (the view's ``kind``).

    API keys have their own limits. ``DELETE`` is not limited: each one needs a row, and a user who revokes many leaked keys
    should not have to wait.
    """

    windows = CHANGE_WINDOWS

    def allow_request(self, request: Request, view: APIView) -> bool:
        if request.method in (*SAFE_METHODS, "DELETE") or isinstance(request.auth, ApiKey):
            return True
        return self.count(f"{view.kind}:{request.user.pk}", self.windows)  # type: ignore[attr-defined]


class ApiViewSet(GenericViewSet[Any]):
    authentication_classes = [ApiKeyAuthentication, SessionAuthentication]
    permission_classes: Any = [IsAuthenticated, SessionForWrites]
    throttle_classes = [ApiKeyRateThrottle, ChangeThrottle]
    renderer_classes = [JSONRenderer]
    parser_classes = [BoundedJSONParser]
    pagination_class = Pages
    filter_backends = []
    versioning_class = None
    http_method_names = [method for method in APIView.http_method_names if method != "options"]
    # The source of a filter is a field, or a method of the queryset.
    filter_serializer_class: Any = Serializer
    # The kind of object that ``ChangeThrottle`` counts.
    kind = "other"
    # OpenAPI: the tag, the nouns and verbs of the summaries, and the arguments of ``extend_schema`` for each action.
    tag = noun = nouns = ""
    verbs: dict[str, str] = {}
    operations: dict[str, dict[str, Any]] = {}
    # The actions about roles: a project with members of its own (setting ``MEMBERSHIPS``) has pages for them.
    role_actions: Collection[str] = ()
    user: Any
    actor: Actor

    @classmethod
    def has_action(cls, action: str) -> bool:
        """Return whether this project has an action of the viewset."""
        return action not in cls.role_actions or get_memberships().uses_roles

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if not self.has_action(self.action):
            raise NotFound
        forbid_storing(request)
        # The authenticator sets it too, but a 406 is raised before authentication.
        vary_on(request, conf.HEADER)
        super().initial(request, *args, **kwargs)
        self.user, self.actor = request.user, get_actor(request)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, LastOwnerError):
            exc = get_conflict(exc)
        elif isinstance(exc, ProtectedError | RestrictedError):
            exc = Conflict(_("This cannot be deleted because other data refers to it."), "in_use")
        elif isinstance(exc, IntegrityError) or is_deadlock(exc):
            exc = Conflict()
        elif isinstance(exc, ObjectDoesNotExist | NotAMemberError):
            # Another request deleted the row, or removed the user, before this one had its lock.
            exc = NotFound()
        elif isinstance(exc, DjangoPermissionDenied):
            exc = PermissionDenied(str(exc))
        elif isinstance(exc, DjangoValidationError):
            is_of_fields = hasattr(exc, "error_dict")
            exc = ValidationError(exc.message_dict) if is_of_fields else Conflict(exc.messages[0], exc.code)
        return super().handle_exception(add_code(exc))

    def get_rows(self) -> QuerySet[Any]:
        """Return the rows from the primary database, because a lagging replica may show a revoked key as active."""
        rows = self.get_queryset()
        return rows.using(router.db_for_write(rows.model))

    def get_object(self) -> Any:
        # The error is the same for an invalid, a missing and a foreign id.
        uuid = read_uuid(self.kwargs["id"])
        found = self.get_rows().filter(pk=uuid).first() if uuid else None
        if found is None:
            raise NotFound
        return found

    def get_values(self, **kwargs: Any) -> Any:
        serializer = self.get_serializer(data=self.request.data, **kwargs)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def filter_rows(self, rows: Any, **filters: Any) -> Any:
        for name, value in filters.items():
            method = getattr(rows, name, None)
            rows = method(value) if method else rows.filter(**{name: value})
        return rows

    def list(self, request: Request, **kwargs: str) -> Response:
        query = self.filter_serializer_class(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        page = self.paginate_queryset(self.filter_rows(self.get_rows(), **query.validated_data))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def retrieve(self, request: Request, **kwargs: str) -> Response:
        return Response(self.get_serializer(self.get_object()).data)


# Base of the views below an organization. A docstring would become the OpenAPI description of every view without one.
class OrganizationScopedViewSet(ApiViewSet):
    permission_classes = [IsAuthenticated, SessionForWrites, HasOrganizationPermission]

    @property
    def organization(self) -> Organization:
        return get_organization(self.request)

    def allows(self, permission: str) -> bool:
        return get_access(self.request).allows(permission)

    def require(self, permission: str) -> None:
        """Refuse the request like ``HasOrganizationPermission`` if it lacks the permission."""
        access = get_access(self.request)
        if not access.allows(permission):
            with raise_api_exceptions():
                raise refuse_permission(self.request._request, self.actor.api_key, access, permission)
