from __future__ import annotations

from django.urls import include, path
from rest_framework.authtoken.views import obtain_auth_token
from rest_framework_jwt.views import ImpersonateJSONWebTokenView, obtain_jwt_token

urlpatterns = [
    path("allauth/", include("allauth.urls")),
    path("auth-kit/", include("auth_kit.urls")),
    path("authtoken/", obtain_auth_token),
    path("django/", include("django.contrib.auth.urls")),
    path("dj-rest-auth/", include("dj_rest_auth.urls")),
    path("dj-rest-auth/mfa/", include("dj_rest_auth.mfa.urls")),
    path("dj-rest-auth/registration/", include("dj_rest_auth.registration.urls")),
    path("djoser/", include("djoser.social.urls")),
    path("djoser/", include("djoser.urls")),
    path("djoser/", include("djoser.urls.authtoken")),
    path("djoser/", include("djoser.urls.jwt")),
    path("drf-jwt/", obtain_jwt_token),
    path("drf-jwt/impersonate/", ImpersonateJSONWebTokenView.as_view()),
    path("headless/", include("allauth.headless.urls")),
    path("knox/", include("knox.urls")),
    path("multitoken/", include("drf_multitokenauth.urls")),
    path("oauth2/", include("oauth2_provider.urls")),
    path("otp-rest-auth/", include("otp_rest_auth.urls")),
    path("passwordless/", include("drfpasswordless.urls")),
    path("passwordreset/", include("django_rest_passwordreset.urls")),
    path("rest-authtoken/", include("rest_authtoken.urls")),
    path("rest-registration/", include("rest_registration.api.urls")),
    path("rest-social-auth/", include("rest_social_auth.urls_session")),
    path("social-oauth2/", include("drf_social_oauth2.urls")),
    path("totp/", include("drf_totp.urls")),
    path("trench/", include("trench.urls")),
    path("trench/", include("trench.urls.authtoken")),
]
