"""URLs of a project with its own organizations and a subclass of our authenticator."""

from __future__ import annotations

from typing import Any

from django.urls import include, path
from rest_framework import serializers
from rest_framework.generics import RetrieveAPIView
from rest_framework.permissions import IsAuthenticated

from closient_auth.authentication import ApiKeyAuthentication


class TenantKeyAuthentication(ApiKeyAuthentication):
    pass


class OrganizationSerializer(serializers.Serializer[Any]):
    vat_number = serializers.CharField()


class OrganizationView(RetrieveAPIView[Any]):
    authentication_classes = [TenantKeyAuthentication]
    permission_classes = [IsAuthenticated]
    serializer_class = OrganizationSerializer


urlpatterns = [
    path("host/organizations", OrganizationView.as_view()),
    path("", include("closient_auth.urls")),
]
