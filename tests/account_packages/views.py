"""Views that a host makes of those of the packages."""

from __future__ import annotations

from dj_rest_auth.registration.views import SocialConnectView
from dj_rest_auth.views import PasswordChangeView
from djoser.views import UserViewSet
from knox.views import LoginView
from rest_framework.decorators import action, api_view
from rest_framework.response import Response
from rest_framework.views import APIView


class OwnPasswordView(PasswordChangeView):
    """A subclass."""


class AuditMixin:
    """A mixin before the view of the package."""


class OwnKnoxView(AuditMixin, LoginView):
    pass


class OwnUserViewSet(UserViewSet):
    """A viewset with an action of its own."""

    @action(["post"], detail=False)
    def rename(self, request, **kwargs):
        request.user.first_name = "Thief"
        request.user.save()
        return Response()


class ConnectView(SocialConnectView):
    """The base class of the package is meant to be inherited from."""


class OuterView(APIView):
    """A view that takes keys and calls another view with the same request."""

    def post(self, request):
        return PasswordChangeView.as_view()(request._request)


@api_view(["POST"])
def outer(request):
    return OwnKnoxView.as_view()(request._request)
