"""Views that refuse API keys."""

PREFIXES = (
    "allauth",
    "auth_kit",
    "dj_rest_auth",
    "django_rest_passwordreset",
    "djoser",
    "drf_multitokenauth",
    "drf_social_oauth2",
    "drf_totp",
    "drfpasswordless",
    "durin",
    "jwt_allauth",
    "knox",
    "oauth2_provider",
    "otp_rest_auth",
    "rest_auth",
    "rest_authtoken",
    "rest_email_auth",
    "rest_framework.authtoken",
    "rest_framework_jwt",
    "rest_framework_simplejwt",
    "rest_registration",
    "rest_social_auth",
    "trench",
)


def is_session_only(view: type) -> bool:
    """Return whether a view class or one of its bases is in a module of ``SESSION_ONLY_VIEWS``."""
    return any(f"{base.__module__}.".startswith(tuple(f"{name}." for name in PREFIXES)) for base in view.__mro__)
