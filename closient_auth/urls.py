"""URLs of the management API. Include them with ``path("account/api/v1/", include("closient_auth.urls"))``.

The paths use ``str`` instead of ``uuid``, so that an invalid id returns a JSON 404 instead of Django's HTML page.
"""

from typing import Any

from django.urls import include, path

from closient_auth.api.audit import AuditViewSet
from closient_auth.api.invitations import AcceptanceViewSet, InvitationViewSet
from closient_auth.api.keys import OrganizationApiKeyViewSet, OrganizationUserKeyViewSet, UserApiKeyViewSet
from closient_auth.api.me import MeViewSet, OwnKeyViewSet
from closient_auth.api.members import MembershipViewSet
from closient_auth.api.organizations import OrganizationsViewSet, OrganizationViewSet

app_name = "closient_auth"

LIST: dict[str, Any] = {"get": "list", "post": "create"}
READ_DELETE: dict[str, Any] = {"get": "retrieve", "delete": "destroy"}
READ_CHANGE: dict[str, Any] = {"get": "retrieve", "patch": "partial_update"}
PREVIEW: dict[str, Any] = {"get": "offboarding"}
ROTATE: dict[str, Any] = {"post": "rotate"}
DETAIL: dict[str, Any] = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}

organization_urlpatterns = [
    path("keys", OrganizationApiKeyViewSet.as_view(LIST), name="organization-key-list"),
    path("keys/<str:id>", OrganizationApiKeyViewSet.as_view(DETAIL), name="organization-key-detail"),
    path("keys/<str:id>/rotate", OrganizationApiKeyViewSet.as_view(ROTATE), name="organization-key-rotate"),
    path("user-keys", OrganizationUserKeyViewSet.as_view({"get": "list"}), name="member-key-list"),
    path("user-keys/<str:id>", OrganizationUserKeyViewSet.as_view(READ_CHANGE), name="member-key-detail"),
    path("members", MembershipViewSet.as_view({"get": "list"}), name="member-list"),
    path("members/<str:id>", MembershipViewSet.as_view(DETAIL), name="member-detail"),
    path("members/<str:id>/offboarding", MembershipViewSet.as_view(PREVIEW), name="member-offboarding"),
    path("invitations", InvitationViewSet.as_view(LIST), name="invitation-list"),
    path("invitations/<str:id>", InvitationViewSet.as_view(READ_DELETE), name="invitation-detail"),
    path("invitations/<str:id>/resend", InvitationViewSet.as_view({"post": "resend"}), name="invitation-resend"),
    path("audit", AuditViewSet.as_view({"get": "list"}), name="audit-list"),
]

urlpatterns = [
    path("me", MeViewSet.as_view({"get": "retrieve"}), name="me"),
    path("me/key", OwnKeyViewSet.as_view({"delete": "destroy"}), name="own-key"),
    path("me/keys", UserApiKeyViewSet.as_view(LIST), name="user-key-list"),
    path("me/keys/<str:id>", UserApiKeyViewSet.as_view(DETAIL), name="user-key-detail"),
    path("me/keys/<str:id>/rotate", UserApiKeyViewSet.as_view(ROTATE), name="user-key-rotate"),
    path("organizations", OrganizationsViewSet.as_view(LIST), name="organization-list"),
    path("organizations/<str:organization_id>", OrganizationViewSet.as_view(DETAIL), name="organization-detail"),
    path("organizations/<str:organization_id>/", include(organization_urlpatterns)),
    path("invitations/accept", AcceptanceViewSet.as_view({"post": "create"}), name="invitation-accept"),
]
