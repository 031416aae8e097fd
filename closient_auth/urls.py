"""URLs of the management API. Include them with ``path("account/api/v1/", include("closient_auth.urls"))``.

The paths use ``str`` instead of ``uuid``, so that an invalid id returns a JSON 404 instead of Django's HTML page.
"""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, include, path

from closient_auth.api.audit import AuditViewSet
from closient_auth.api.base import ApiViewSet
from closient_auth.api.invitations import AnswerViewSet, InvitationViewSet, OwnInvitationViewSet
from closient_auth.api.keys import OrganizationApiKeyViewSet, OrganizationUserKeyViewSet, UserApiKeyViewSet
from closient_auth.api.me import MeViewSet, OwnKeyViewSet
from closient_auth.api.members import MembershipViewSet
from closient_auth.api.organizations import OrganizationsViewSet, OrganizationViewSet
from closient_auth.api.usage import KeyUsageViewSet, OrganizationUsageViewSet

app_name = "closient_auth"

LIST: dict[str, Any] = {"get": "list", "post": "create"}
READ_DELETE: dict[str, Any] = {"get": "retrieve", "delete": "destroy"}
READ_CHANGE: dict[str, Any] = {"get": "retrieve", "patch": "partial_update"}
PREVIEW: dict[str, Any] = {"get": "offboarding"}
USAGE: dict[str, Any] = {"get": "usage"}
ROTATE: dict[str, Any] = {"post": "rotate"}
DETAIL: dict[str, Any] = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}


def _route(route: str, viewset: type[ApiViewSet], actions: Mapping[str, str], name: str) -> list[URLPattern]:
    """Return the route of a viewset, or none if this project has none of the actions (setting ``MEMBERSHIPS``)."""
    kept: dict[str, Any] = {method: action for method, action in actions.items() if _has_action(viewset, action)}
    return [path(route, viewset.as_view(kept), name=name)] if kept else []


def _has_action(viewset: type[ApiViewSet], action: str) -> bool:
    try:
        return viewset.has_action(action)
    except ImproperlyConfigured:
        # The system check reports the setting. It could not if the URLconf cannot be loaded.
        return True


organization_urlpatterns = [
    *_route("keys", OrganizationApiKeyViewSet, LIST, "organization-key-list"),
    *_route("keys/<str:id>", OrganizationApiKeyViewSet, DETAIL, "organization-key-detail"),
    *_route("keys/<str:id>/rotate", OrganizationApiKeyViewSet, ROTATE, "organization-key-rotate"),
    *_route("keys/<str:id>/usage", KeyUsageViewSet, USAGE, "organization-key-usage"),
    *_route("usage", OrganizationUsageViewSet, USAGE, "organization-usage"),
    *_route("user-keys", OrganizationUserKeyViewSet, {"get": "list"}, "member-key-list"),
    *_route("user-keys/<str:id>", OrganizationUserKeyViewSet, READ_CHANGE, "member-key-detail"),
    *_route("members", MembershipViewSet, {"get": "list"}, "member-list"),
    *_route("members/<str:id>", MembershipViewSet, DETAIL, "member-detail"),
    *_route("members/<str:id>/offboarding", MembershipViewSet, PREVIEW, "member-offboarding"),
    *_route("invitations", InvitationViewSet, LIST, "invitation-list"),
    *_route("invitations/<str:id>", InvitationViewSet, READ_DELETE, "invitation-detail"),
    *_route("invitations/<str:id>/resend", InvitationViewSet, {"post": "resend"}, "invitation-resend"),
    *_route("audit", AuditViewSet, {"get": "list"}, "audit-list"),
]

urlpatterns = [
    *_route("me", MeViewSet, {"get": "retrieve"}, "me"),
    *_route("me/key", OwnKeyViewSet, {"delete": "destroy"}, "own-key"),
    *_route("me/keys", UserApiKeyViewSet, LIST, "user-key-list"),
    *_route("me/keys/<str:id>", UserApiKeyViewSet, DETAIL, "user-key-detail"),
    *_route("me/keys/<str:id>/rotate", UserApiKeyViewSet, ROTATE, "user-key-rotate"),
    *_route("me/invitations", OwnInvitationViewSet, {"get": "list"}, "own-invitation-list"),
    *_route("organizations", OrganizationsViewSet, LIST, "organization-list"),
    *_route("organizations/<str:organization_id>", OrganizationViewSet, DETAIL, "organization-detail"),
    path("organizations/<str:organization_id>/", include(organization_urlpatterns)),
    *_route("invitations/accept", AnswerViewSet, {"post": "create"}, "invitation-accept"),
    *_route("invitations/decline", AnswerViewSet, {"post": "decline"}, "invitation-decline"),
    *_route("invitations/preview", AnswerViewSet, {"post": "preview"}, "invitation-preview"),
]
