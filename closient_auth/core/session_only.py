"""Views that refuse API keys."""

PREFIXES = (
    "dj_rest_auth",
    "djoser",
    "knox",
    "allauth",
    "rest_framework.authtoken",
    "rest_framework_simplejwt",
    "oauth2_provider",
)


def is_session_only(view: type) -> bool:
    """Return whether a view class or one of its bases is in a module of ``SESSION_ONLY_VIEWS``."""
    return any(f"{base.__module__}.".startswith(tuple(f"{name}." for name in PREFIXES)) for base in view.__mro__)
