"""Read ``settings.CLOSIENT_AUTH``. Other modules should use ``conf``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

_T = TypeVar("_T")

# The default of ``SESSION_ONLY_VIEWS``: packages whose views change passwords, tokens, second factors or e-mail addresses.
ACCOUNT_PACKAGES = (
    "allauth",
    "auth_kit",
    "dj_rest_auth",
    "django.contrib.auth.views",
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

# The default of ``DASHBOARD_CONTENT_SECURITY_POLICY``: files of this site, and nothing else.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


class _Setting(property, Generic[_T]):
    """A read-only setting with a default."""

    def __init__(self, default: _T, doc: str) -> None:
        super().__init__(doc=doc)
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> _T:  # type: ignore[override]
        value: _T = instance.user_settings.get(self._name, self._default)
        return value


class AppSettings:
    """The settings in ``settings.CLOSIENT_AUTH``, with types and defaults.

    Values are not cached, so ``override_settings`` works without a signal receiver.
    """

    @property
    def user_settings(self) -> Mapping[str, Any]:
        """Return the dictionary in the project's settings, or an empty one. Raise ``ImproperlyConfigured`` for another type."""
        # A request reads a dozen settings. ``LazySettings`` keeps a value that it returned before, but its own
        # ``__getattribute__()`` takes ten times longer.
        user_settings = object.__getattribute__(settings, "__dict__").get("CLOSIENT_AUTH")
        if user_settings is None:
            user_settings = getattr(settings, "CLOSIENT_AUTH", {})
        # The check for the abstract class is slow as well.
        if type(user_settings) is not dict and not isinstance(user_settings, Mapping):
            raise ImproperlyConfigured(f"CLOSIENT_AUTH should be a dictionary, not a {type(user_settings).__name__}.")
        return user_settings

    HEADER = _Setting("X-API-Key", "The name of the request header with the API key.")
    RATE_LIMIT_PER_MINUTE = _Setting(300, "Requests per minute for keys with a limit of 0; 0 here means unlimited.")
    RATE_LIMIT_PER_DAY = _Setting(10_000, "Requests per day for keys with a limit of 0; 0 here means unlimited.")
    PUBLISHABLE_RATE_LIMIT_PER_MINUTE = _Setting(
        100, "Requests per minute for publishable keys with a limit of 0; 0 here means unlimited."
    )
    PUBLISHABLE_RATE_LIMIT_PER_CLIENT_PER_MINUTE = _Setting(
        0, "Requests per minute of one client address with a publishable key; 0 means no limit for each client."
    )
    MAX_RATE_LIMIT_PER_MINUTE = _Setting(
        0, "The most requests per minute of any key, and the highest limit that a person may set; 0 means no maximum."
    )
    MAX_RATE_LIMIT_PER_DAY = _Setting(
        0, "The most requests per day of any key, and the highest limit that a person may set; 0 means no maximum."
    )
    RATE_LIMIT_POLICY = _Setting(
        "classic", 'The syntax of ``RateLimit-Policy``: ``"classic"``, or ``"structured"`` as in current IETF drafts.'
    )
    RATE_LIMIT_FAIL_OPEN = _Setting(
        True,
        "During a cache outage of more than a second, let each process count by itself (``True``), or respond with 503 "
        "(``False``).",
    )
    TRUSTED_PROXIES = _Setting(
        0, "The number of proxies that append to ``X-Forwarded-For``; 0 takes the client address from ``REMOTE_ADDR``."
    )
    USAGE_HISTORY = _Setting(True, "Count the requests of each key in each hour, for ``ApiKeyUsage``.")
    LAST_USED_INTERVAL = _Setting(
        0, "Minimum seconds between two updates of a key's ``last_used``; 0 updates it on every authenticated request."
    )
    MAX_ACTIVE_KEYS = _Setting(
        0, "The most active keys of one organization or user that people may create; 0 means no maximum."
    )
    KEY_LIFETIME_DAYS = _Setting(0, "The lifetime of a key that a person creates without an expiry; 0 means no expiry.")
    MAX_KEY_LIFETIME_DAYS = _Setting(
        0, "The longest lifetime that a person may give to a key, in days from its creation; 0 means no maximum."
    )
    ORGANIZATION_CREATION = _Setting(
        "anyone",
        'Who may create organizations: ``"anyone"``, ``"staff"``, or the dotted path of a function that takes a user and '
        "returns a ``bool``.",
    )
    INVITATION_URL = _Setting(
        "",
        'The page that accepts invitations, such as ``"https://app.example/join/{token}"``; empty for that of the '
        "dashboard.",
    )
    VERIFIED_ADDRESSES = _Setting(
        "",
        "The dotted path of a function that takes a user and returns the e-mail addresses that the project has verified; "
        "empty for none.",
    )
    MEMBERSHIPS = _Setting(
        "closient_auth.models.memberships.RoleMemberships",
        "The dotted path of a subclass of ``closient_auth.memberships.Memberships``, for projects with teams of their own.",
    )
    ACCEPT_BEARER = _Setting(
        False, "Also accept a key from ``Authorization: Bearer``. Other bearer tokens are left to other classes."
    )
    EXTRA_ROLE_PERMISSIONS = _Setting[Mapping[str, Iterable[str]]](
        {}, 'The project\'s own permissions by role, such as ``{"editor": ["offers.publish"]}``.'
    )
    USAGE_HISTORY = _Setting(True, "Count the requests of each key by hour.")
    DASHBOARD_SITE_NAME = _Setting("", "The name of the site in the titles of the dashboard's pages.")
    DASHBOARD_DOCS_URL = _Setting("", "The address of the project's API documentation, to which the dashboard links.")
    DASHBOARD_CONTENT_SECURITY_POLICY = _Setting(
        CONTENT_SECURITY_POLICY,
        "The ``Content-Security-Policy`` of the dashboard's pages; an empty text leaves it to the project.",
    )
    DASHBOARD_CONFIRM_PASSWORD = _Setting(
        False, "Ask for the password of a person who deletes an organization in the dashboard."
    )
    SESSION_ONLY_VIEWS = _Setting[Sequence[str]](
        ACCOUNT_PACKAGES, "Modules and packages of views that refuse API keys, such as ``dj_rest_auth``."
    )


conf = AppSettings()
