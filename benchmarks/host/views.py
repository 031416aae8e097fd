"""The same view with the authentication of each package."""

from __future__ import annotations

import time

from drf_simple_apikey.backends import APIKeyAuthentication as SimpleApiKeyAuthentication
from drf_simple_apikey.permissions import IsActiveEntity
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView
from rest_framework_api_key.permissions import HasAPIKey

from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.throttling import ApiKeyRateThrottle


class MinuteThrottle(UserRateThrottle):
    scope = "minute"


class DayThrottle(UserRateThrottle):
    scope = "day"


class Bare(APIView):
    """The reference view, without authentication."""

    authentication_classes: list[type] = []
    permission_classes: list[type] = []
    throttle_classes: list[type] = []

    def get(self, request: Request) -> Response:
        return Response({"name": "Oat milk", "gtin": "04012345678901"})


class Token(Bare):
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]


class TokenThrottled(Token):
    throttle_classes = [MinuteThrottle, DayThrottle]


class DrfApiKey(Bare):
    permission_classes = [HasAPIKey]


class DrfApiKeyThrottled(DrfApiKey):
    throttle_classes = [MinuteThrottle, DayThrottle]


class Knox(Bare):
    authentication_classes = [KnoxAuthentication]
    permission_classes = [IsAuthenticated]


class KnoxThrottled(Knox):
    throttle_classes = [MinuteThrottle, DayThrottle]


class SimpleApiKey(Bare):
    authentication_classes = [SimpleApiKeyAuthentication]
    permission_classes = [IsActiveEntity]


class SimpleApiKeyThrottled(SimpleApiKey):
    throttle_classes = [MinuteThrottle, DayThrottle]


class Closient(Bare):
    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [IsAuthenticated]
    throttle_classes = [ApiKeyRateThrottle]


class ClosientSlow(Closient):
    """A view with a delay of 50 ms, during which other requests with the same key arrive."""

    def get(self, request: Request) -> Response:
        time.sleep(0.05)
        return super().get(request)
