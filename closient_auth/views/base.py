"""What the views of the management API share, whatever the host's ``REST_FRAMEWORK`` says."""

from __future__ import annotations

import json
from contextlib import ExitStack
from io import BytesIO
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import IntegrityError, router
from django.db.models import ProtectedError, QuerySet, RestrictedError
from django.utils.translation import gettext as _
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import NotFound, ParseError, ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import JSONParser
from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.conf import conf
from closient_auth.exceptions import Conflict, SessionRequired
from closient_auth.headers import forbid_storing, vary_on
from closient_auth.limits.windows import Window
from closient_auth.models import ApiKey, LastOwnerError
from closient_auth.models.audit import acting
from closient_auth.models.organizations import NotAMemberError, read_uuid
from closient_auth.permissions import HasOrganizationPermission
from closient_auth.serializers import PageSerializer
from closient_auth.throttling import ApiKeyRateThrottle, WindowThrottle


class Pages(PageNumberPagination):
    page_size = 25
    max_page_size = 100
    page_size_query_param = "page_size"

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        """Refuse what is no number, as filters are: REST framework would answer with the first page."""
        PageSerializer(data=request.query_params.dict()).is_valid(raise_exception=True)
        return super().paginate_queryset(queryset, request, view)


class BoundedJSONParser(JSONParser):
    """
    Take UTF-8 alone (RFC 8259, section 8.1): of Python's codecs, which a client could name, some unpack and some take
    minutes.

    Refuse what REST framework answers with a 500: what is nested deeper than Python's parser goes, and half of a
    surrogate pair, which is no Unicode, and which an error that repeats it could not be rendered with.
    """

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        # Read here, since REST framework before 3.18.1 goes past Django's limit on a body.
        body = BytesIO(getattr(stream, "body", None) or stream.read())
        try:
            data = super().parse(body, media_type, {**(parser_context or {}), "encoding": "utf-8"})
            json.dumps(data, ensure_ascii=False).encode()
        except RecursionError as error:
            raise ParseError("The JSON is nested too deep.") from error
        except UnicodeEncodeError:
            raise ParseError("The JSON holds text that is no Unicode.") from None
        return data


class SessionOnly(BasePermission):
    """Refuse keys: a leaked key must not be able to mint its successor."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if isinstance(request.auth, ApiKey):
            raise SessionRequired
        return True


class SessionForWrites(SessionOnly):
    """Refuse keys what changes something."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.method in SAFE_METHODS or super().has_permission(request, view)


class CreationThrottle(WindowThrottle):
    """Hold each signed-in person to so many creations of one kind (the view's ``creates``); keys have limits of their own."""

    windows = (Window(60, 60), Window(1000, 86_400))

    def allow_request(self, request: Request, view: APIView) -> bool:
        if request.method != "POST" or isinstance(request.auth, ApiKey):
            return True
        return self.count(f"{view.creates}:{request.user.pk}", self.windows)  # type: ignore[attr-defined]


class ManagementViewSet(GenericViewSet[Any]):
    authentication_classes = [ApiKeyAuthentication, SessionAuthentication]
    permission_classes: Any = [IsAuthenticated, SessionForWrites]
    throttle_classes = [ApiKeyRateThrottle, CreationThrottle]
    renderer_classes = [JSONRenderer]
    parser_classes = [BoundedJSONParser]
    pagination_class = Pages
    filter_backends = []
    versioning_class = None
    http_method_names = [method for method in APIView.http_method_names if method != "options"]
    # The part of the URL that names the object.
    lookup_url_kwarg = "id"
    filter_serializer_class: Any = None
    creates = "other"

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        with ExitStack() as self.stack:
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        forbid_storing(request)
        # The authenticator says it too, but what cannot be rendered (406) is refused before.
        vary_on(request, conf.HEADER)
        super().initial(request, *args, **kwargs)
        api_key = request.auth if isinstance(request.auth, ApiKey) else None
        user = self.user if api_key is None else api_key.user
        self.stack.enter_context(acting(user=user, api_key=api_key, address=request.META.get("REMOTE_ADDR") or ""))

    @property
    def user(self) -> Any:
        """Who is asking. The models judge what they may do."""
        return self.request.user

    def handle_exception(self, exc: Exception) -> Response:
        return super().handle_exception(_translate(exc))

    def get_rows(self) -> QuerySet[Any]:
        """Return the rows from the database that is written to: a replica that lags shows what was revoked."""
        rows = self.get_queryset()
        return rows.using(router.db_for_write(rows.model))

    def get_object(self) -> Any:
        """Return the object that the URL names; for all others, those of another organization too, one answer."""
        uuid = read_uuid(self.kwargs[self.lookup_url_kwarg])
        found = self.get_rows().filter(pk=uuid).first() if uuid else None
        if found is None:
            raise NotFound
        return found

    def get_validated(self, **kwargs: Any) -> Any:
        """Return the serializer of the request's body, which was found valid."""
        serializer = self.get_serializer(data=self.request.data, **kwargs)
        serializer.is_valid(raise_exception=True)
        return serializer

    def get_filters(self) -> dict[str, Any]:
        """Return what the query asks to filter by; raise ``ValidationError`` for a value that cannot be."""
        query = self.filter_serializer_class(data=self.request.query_params.dict())
        query.is_valid(raise_exception=True)
        filters: dict[str, Any] = query.validated_data
        return filters

    def filter_rows(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return those of the rows that the query asks for."""
        return rows

    def list(self, request: Request, **kwargs: str) -> Response:
        page = self.paginate_queryset(self.filter_rows(self.get_rows()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def retrieve(self, request: Request, **kwargs: str) -> Response:
        return Response(self.get_serializer(self.get_object()).data)


# For what belongs to the organization of the URL; each view says which permission which action needs. No docstring, since
# the OpenAPI description of a view without one would take it.
class OrganizationScopedViewSet(ManagementViewSet):
    permission_classes = [IsAuthenticated, SessionForWrites, HasOrganizationPermission]
    required_permissions: Any = None


def _translate(exc: Exception) -> Exception:
    # What the models raise, as what REST framework answers.
    if isinstance(exc, LastOwnerError):
        return Conflict(str(exc.args[0]), "last_owner")
    if isinstance(exc, ProtectedError | RestrictedError):
        return Conflict(_("Other data still needs this, so it cannot be deleted."), "in_use")
    if isinstance(exc, IntegrityError):
        return Conflict()
    if isinstance(exc, ObjectDoesNotExist | NotAMemberError):
        # Somebody else was faster, and it was found gone under the lock, or is no longer theirs.
        return NotFound()
    if isinstance(exc, DjangoValidationError):
        if hasattr(exc, "error_dict"):
            return ValidationError(exc.message_dict)
        return Conflict(exc.message, exc.code)
    return exc
