from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.views.decorators.debug import sensitive_variables
from rest_framework import status
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from closient_auth.api import serializers
from closient_auth.api.base import ApiViewSet, OrganizationScopedViewSet
from closient_auth.keys import KeyType
from closient_auth.memberships import get_memberships
from closient_auth.models import ApiKey
from closient_auth.permissions import SessionOnly
from closient_auth.roles import Permission


class ApiKeyViewSet(ApiViewSet):
    """API keys. The full key is shown only once, in the response to its creation."""

    filter_serializer_class = serializers.ApiKeyFilterSerializer
    serializer_class = serializers.ApiKeySerializer
    creation_serializer_class: Any = serializers.NewUserKeySerializer
    kind = "api_key"
    verbs = {"destroy": "Revoke"}
    operations = dict.fromkeys(["create", "rotate"], {"responses": {201: serializers.NewUserKeySerializer}})
    get_holder: Callable[[], dict[str, Any]]

    def get_queryset(self) -> QuerySet[ApiKey]:
        api_keys = ApiKey.objects.filter(**self.get_holder())
        return api_keys.with_holders().select_related("created_by").order_by("-created_at", "pk")

    @sensitive_variables()
    def create(self, request: Request, **kwargs: str) -> Response:
        return self._respond_new(*ApiKey.objects.create_key(**self.get_holder(), **self.get_values(), by=self.actor))

    def partial_update(self, request: Request, **kwargs: str) -> Response:
        api_key = self.get_object()
        api_key.change(**self.get_values(partial=True), by=self.actor)
        return Response(self.get_serializer(api_key).data)

    def destroy(self, request: Request, **kwargs: str) -> Response:
        """Revoke the key permanently. You can still retrieve it."""
        self.get_object().revoke(by=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @sensitive_variables()
    def rotate(self, request: Request, **kwargs: str) -> Response:
        """Create a key with the same settings. The old key expires now or after the grace period."""
        api_key, values = self.get_object(), self.get_values()
        grace = timedelta(seconds=values.pop("grace_seconds"))
        return self._respond_new(*api_key.rotate(by=self.actor, grace=grace, **values))

    @sensitive_variables()
    def _respond_new(self, api_key: ApiKey, raw_key: str) -> Response:
        # An attribute is not part of the instance's ``repr``, so the raw key stays out of logs and error reports.
        api_key.raw_key = raw_key  # type: ignore[attr-defined]
        # With ``DEBUG``, Django's error page shows even sensitive variables.
        del raw_key
        return Response(serializers.NewUserKeySerializer(api_key).data, status=status.HTTP_201_CREATED)

    def get_serializer_class(self) -> Any:
        others = {"create": self.creation_serializer_class, "rotate": serializers.RotationSerializer}
        return others.get(self.action, self.serializer_class)


class OrganizationApiKeyViewSet(ApiKeyViewSet, OrganizationScopedViewSet):
    tag, noun, nouns = "keys", "a key", "keys"
    required_permissions = Permission.MANAGE_API_KEYS
    creation_serializer_class = serializers.NewApiKeySerializer

    def get_holder(self) -> dict[str, Any]:
        return {"organization": self.organization}


class UserApiKeyViewSet(ApiKeyViewSet):
    """Your own user keys."""

    tag, noun, nouns = "me", "a user key", "your user keys"
    permission_classes = [IsAuthenticated, SessionOnly]

    def get_holder(self) -> dict[str, Any]:
        return {"prefix": KeyType.USER, "user": self.user}


class OrganizationUserKeyViewSet(OrganizationScopedViewSet):
    """The user keys of the members that can act in the organization."""

    tag, noun, nouns = "user keys", "a user key of a member", "user keys of the members"
    verbs = {"partial_update": "Shut out or let in"}
    serializer_class = serializers.OrganizationUserKeySerializer
    required_permissions = Permission.MANAGE_API_KEYS
    kind = "api_key"

    @classmethod
    def has_action(cls, action: str) -> bool:
        return get_memberships().lists_users

    def get_queryset(self) -> QuerySet[ApiKey]:
        return ApiKey.objects.able_in(self.organization).select_related("user").order_by("-created_at", "pk")

    def partial_update(self, request: Request, **kwargs: str) -> Response:
        """Refuse the key in this organization (`shut_out`), or accept it again. It works elsewhere as before."""
        api_key, values = self.get_object(), self.get_values(partial=True)
        if "shut_out" in values:
            change = api_key.shut_out if values["shut_out"] else api_key.let_in
            change(self.organization, by=self.actor)
        return Response(self.get_serializer(api_key).data)
