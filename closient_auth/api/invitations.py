from typing import Any

from django.db.models import QuerySet
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_variables
from rest_framework import status
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from closient_auth.api import serializers
from closient_auth.api.base import ApiViewSet, OrganizationScopedViewSet
from closient_auth.core.responses import without_transaction
from closient_auth.models import Invitation
from closient_auth.permissions import SessionOnly
from closient_auth.roles import Permission


@method_decorator(without_transaction, name="dispatch")
class InvitationViewSet(OrganizationScopedViewSet):
    """Invitations by e-mail. Only the e-mail, and the response to its sender, contain the token."""

    tag, noun, nouns = "invitations", "an invitation", "invitations"
    verbs = {"create": "Send", "destroy": "Withdraw"}
    operations = {"resend": {"request": None}}
    serializer_class = serializers.InvitationSerializer
    filter_serializer_class = serializers.InvitationFilterSerializer
    required_permissions = Permission.MANAGE_MEMBERS
    kind = "invitation"
    role_actions = ("list", "create", "retrieve", "destroy", "resend")

    def get_queryset(self) -> QuerySet[Invitation]:
        invitations = Invitation.objects.filter(organization=self.organization)
        return invitations.select_related("organization", "invited_by").order_by("-created_at", "pk")

    def create(self, request: Request, **kwargs: str) -> Response:
        invitation = Invitation.objects.invite(organization=self.organization, by=self.actor, **self.get_values())
        return Response(self.get_serializer(invitation).data, status=status.HTTP_201_CREATED)

    def destroy(self, request: Request, **kwargs: str) -> Response:
        """Withdraw the invitation."""
        self.get_object().withdraw(by=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def resend(self, request: Request, **kwargs: str) -> Response:
        """Send a new token, valid for seven days. The previous token becomes invalid."""
        invitation = self.get_object()
        # This action accepts no fields.
        serializers.Serializer(data=request.data).is_valid(raise_exception=True)
        invitation.resend(by=self.actor)
        return Response(self.get_serializer(invitation).data)


class AnswerViewSet(ApiViewSet):
    tag, noun, verbs = "invitations", "an invitation", {"create": "Accept"}
    operations = {
        "create": {"responses": {201: serializers.AcceptanceSerializer}},
        "decline": {"responses": {204: None}},
        "preview": {"responses": {200: serializers.InvitationPreviewSerializer}},
    }
    serializer_class = serializers.InvitationTokenSerializer
    permission_classes = [IsAuthenticated, SessionOnly]
    kind = "acceptance"
    role_actions = ("create", "decline", "preview")

    def get_serializer_class(self) -> Any:
        others = {"create": serializers.AcceptanceSerializer, "preview": serializers.InvitationPreviewSerializer}
        return others.get(self.action, self.serializer_class)

    @sensitive_variables()
    def create(self, request: Request, **kwargs: str) -> Response:
        """Accept an invitation. Your account should have the invited e-mail address.

        If you are a member already, the invitation ends and your role stays.
        """
        membership = Invitation.objects.accept(self.get_values()["token"], self.user, by=self.actor)
        return Response(self.get_serializer(membership).data, status=status.HTTP_201_CREATED)

    @sensitive_variables()
    def decline(self, request: Request, **kwargs: str) -> Response:
        """Decline an invitation to an e-mail address of yours. Its token becomes invalid."""
        Invitation.objects.decline(self.get_values()["token"], self.user, by=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @sensitive_variables()
    def preview(self, request: Request, **kwargs: str) -> Response:
        """Show an invitation before you accept or decline it, or one that you have accepted. This changes nothing."""
        invitation = Invitation.objects.find_valid(self.get_values()["token"], accepter=self.user)
        return Response(self.get_serializer(invitation).data)


class OwnInvitationViewSet(ApiViewSet):
    """Your valid invitations, without their tokens. The mails have these."""

    tag, noun, nouns = "me", "an invitation to you", "the invitations to you"
    serializer_class = serializers.OwnInvitationSerializer
    permission_classes = [IsAuthenticated, SessionOnly]
    role_actions = ("list",)

    def list(self, request: Request, **kwargs: str) -> Response:
        page = self.paginate_queryset(Invitation.objects.for_user(self.user))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)
