"""
URLs of the management API. Include them with ``path("account/api/v1/", include("closient_auth.urls"))``.

The paths use ``str`` instead of ``uuid``, so that an invalid id returns a JSON 404 instead of Django's HTML page.
"""

from __future__ import annotations

from typing import Any

from django.urls import include, path

from closient_auth.api import audit, invitations, keys, me, members, organizations

app_name = "closient_auth"

LIST: dict[str, Any] = {"get": "list", "post": "create"}
READ_DELETE: dict[str, Any] = {"get": "retrieve", "delete": "destroy"}
ROTATE: dict[str, Any] = {"post": "rotate"}
DETAIL: dict[str, Any] = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}

organization_urlpatterns = [
    path("keys", keys.OrganizationApiKeyViewSet.as_view(LIST), name="organization-key-list"),
    path("keys/<str:id>", keys.OrganizationApiKeyViewSet.as_view(DETAIL), name="organization-key-detail"),
    path("keys/<str:id>/rotate", keys.OrganizationApiKeyViewSet.as_view(ROTATE), name="organization-key-rotate"),
    path("members", members.MembershipViewSet.as_view({"get": "list"}), name="member-list"),
    path("members/<str:id>", members.MembershipViewSet.as_view(DETAIL), name="member-detail"),
    path("invitations", invitations.InvitationViewSet.as_view(LIST), name="invitation-list"),
    path("invitations/<str:id>", invitations.InvitationViewSet.as_view(READ_DELETE), name="invitation-detail"),
    path(
        "invitations/<str:id>/resend",
        invitations.InvitationViewSet.as_view({"post": "resend"}),
        name="invitation-resend",
    ),
    path("audit", audit.AuditViewSet.as_view({"get": "list"}), name="audit-list"),
]

urlpatterns = [
    path("me", me.MeViewSet.as_view({"get": "retrieve"}), name="me"),
    path("me/key", me.OwnKeyViewSet.as_view({"delete": "destroy"}), name="own-key"),
    path("me/keys", keys.UserApiKeyViewSet.as_view(LIST), name="user-key-list"),
    path("me/keys/<str:id>", keys.UserApiKeyViewSet.as_view(DETAIL), name="user-key-detail"),
    path("me/keys/<str:id>/rotate", keys.UserApiKeyViewSet.as_view(ROTATE), name="user-key-rotate"),
    path("organizations", organizations.OrganizationsViewSet.as_view(LIST), name="organization-list"),
    path(
        "organizations/<str:organization_id>",
        organizations.OrganizationViewSet.as_view(DETAIL),
        name="organization-detail",
    ),
    path("organizations/<str:organization_id>/", include(organization_urlpatterns)),
    path("invitations/accept", invitations.AcceptanceViewSet.as_view({"post": "create"}), name="invitation-accept"),
]
