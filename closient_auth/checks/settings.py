"""Rules of ``settings.CLOSIENT_AUTH``."""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.http.request import HttpHeaders
from django.utils.module_loading import import_string

from closient_auth.checks.memberships import find_doubtful_class, find_invalid_class
from closient_auth.checks.rules import Finding
from closient_auth.conf import ACCOUNT_PACKAGES, AppSettings, conf
from closient_auth.models.api_keys import MAX_LIMIT
from closient_auth.models.key_policies import MAX_DAYS
from closient_auth.models.organizations import CREATORS
from closient_auth.roles import RESERVED_NAMESPACE, Role, get_all_permissions, get_role_permissions

# HTTP allows underscores, but servers drop such headers, because CGI cannot distinguish underscores from hyphens.
HEADER_NAME = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")
# Clients, proxies and Django send other values in these headers, and every value would be refused as an invalid key.
TAKEN_HEADERS = re.compile(
    "accept(-encoding|-language)?|authorization|cache-control|connection|content-(length|type)|cookie|forwarded|host|"
    "origin|proxy-authorization|referer|user-agent|x-forwarded-(for|host|proto)|x-organization"
)
POLICIES = ("classic", "structured")
# Keywords of a Content Security Policy, which have single quotes there.
POLICY_KEYWORDS = frozenset({"self", "none", "unsafe-inline", "unsafe-eval", "strict-dynamic"})
POLICY_QUOTES = "a policy with its keywords in single quotes, such as 'self' and 'none', and without double quotes"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
MODULE = re.compile(r"\w+(\.\w+)*")
RENAME = f"Names in {RESERVED_NAMESPACE!r} are ignored. Name it after your app, such as 'offers.publish'."
EXAMPLE = 'Write it as {"owner": ["offers.publish"], "editor": ["offers.publish"]}.'


class Defaults(AppSettings):
    user_settings: Mapping[str, Any] = {}


NAMES = [name for name, member in vars(AppSettings).items() if isinstance(member, property) and name.isupper()]


def find_settings() -> Iterator[Finding]:
    if invalid := list(_find_invalid()):
        yield from invalid
        return
    if lacking := sorted(get_all_permissions() - get_role_permissions(Role.OWNER)):
        yield Finding("W015", values={"permissions": ", ".join(lacking)})
    yield from find_doubtful_class()
    if 0 < conf.MAX_KEY_LIFETIME_DAYS < conf.KEY_LIFETIME_DAYS:
        yield Finding("W027", values={"days": conf.KEY_LIFETIME_DAYS, "maximum": conf.MAX_KEY_LIFETIME_DAYS})
    if conf.PUBLISHABLE_RATE_LIMIT_PER_CLIENT_PER_MINUTE:
        yield from find_proxies()
    yield from (Finding("W025", values={"name": name}) for name in conf.SESSION_ONLY_VIEWS if not _exists(name))
    if _is_reported(conf.HEADER):
        yield Finding("W022", values={"value": repr(conf.HEADER), "default": Defaults().HEADER})


def find_proxies() -> Iterator[Finding]:
    """Find signs of a proxy whose address is taken for that of every client."""
    signs = ("SECURE_PROXY_SSL_HEADER", "USE_X_FORWARDED_HOST", "USE_X_FORWARDED_PORT")
    if not conf.TRUSTED_PROXIES and (sign := next((name for name in signs if getattr(settings, name, None)), None)):
        yield Finding("W028", values={"sign": sign})


def has_valid_settings() -> bool:
    return not any(_find_invalid())


def suggest(name: object, known: Collection[str]) -> str:
    """Return a hint for an unknown name: the known names with this beginning, the most similar one, or all."""
    spellings = {spelling.lower(): str(spelling) for spelling in known}
    start = str(name).lower()
    begun = [spelling for spelling in spellings if start and spelling.startswith(start)]
    if near := begun or get_close_matches(start, spellings, n=1):
        return f"Did you mean {' or '.join(repr(spellings[spelling]) for spelling in near)}?"
    return f"Use one of: {', '.join(sorted(known))}."


def _find_invalid() -> Iterator[Finding]:
    user_settings: object = getattr(settings, "CLOSIENT_AUTH", {})
    if not isinstance(user_settings, Mapping):
        yield Finding("E002", values={"type": type(user_settings).__name__})
        return
    for name, value in user_settings.items():
        if name not in NAMES:
            yield Finding("E001", values={"name": name, "suggestion": suggest(name, NAMES)})
        elif name == "EXTRA_ROLE_PERMISSIONS":
            yield from _find_extra_permissions(value)
        elif name == "MEMBERSHIPS" and isinstance(value, str):
            yield from find_invalid_class()
        elif wanted := _get_wanted(name, default := getattr(Defaults(), name), value):
            # The list of the known packages is long.
            shown = "closient_auth.conf.ACCOUNT_PACKAGES" if isinstance(default, tuple) else default
            values = {"name": name, "wanted": wanted, "value": repr(value), "default": shown}
            yield Finding("E004" if name == "HEADER" else "E003", values=values)


def _get_wanted(name: str, default: object, value: object) -> str | None:
    """Return what a setting with this name and default should be, or None if the value is valid."""
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "True or False"
    if isinstance(default, int):
        # ``True`` is an ``int`` in Python, but not a limit.
        most = MAX_DAYS if name.endswith("_DAYS") else MAX_LIMIT
        is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
        return None if is_count else f"an integer from 0 to {most}"
    if isinstance(default, tuple):
        is_list = isinstance(value, list | tuple) and all(
            isinstance(name, str) and MODULE.fullmatch(name) for name in value
        )
        return None if is_list else "a list of modules"
    if name == "RATE_LIMIT_POLICY":
        return None if value in POLICIES else " or ".join(map(repr, POLICIES))
    if name == "MEMBERSHIPS":
        return "the dotted path of a class"
    if name == "ORGANIZATION_CREATION":
        return None if _names_function(value) else "'anyone', 'staff' or the dotted path of an importable function"
    if name.startswith("DASHBOARD_"):
        # Django refuses headers with line breaks.
        if not isinstance(value, str) or not value.isprintable():
            return "a text in one line"
        is_policy = name == "DASHBOARD_CONTENT_SECURITY_POLICY"
        return POLICY_QUOTES if is_policy and _has_bad_quotes(value) else None
    if name == "INVITATION_URL":
        return None if value == "" or _is_page(value) else "an https URL with {token} in its path, query or fragment"
    if name == "VERIFIED_ADDRESSES":
        return None if value == "" or _is_function(value) else "the dotted path of an importable function"
    # HEADER is the only other string.
    if not isinstance(value, str) or not HEADER_NAME.fullmatch(value):
        return "a valid header name"
    csrf_header = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-").lower()
    is_taken = value.lower() == csrf_header or TAKEN_HEADERS.fullmatch(value.lower())
    return "a header without another meaning" if is_taken else None


def _has_bad_quotes(policy: str) -> bool:
    """Return whether browsers would ignore a keyword of the policy: they take ``self`` for the name of a host."""
    sources = [source.lower() for directive in policy.split(";") for source in directive.split()[1:]]
    return '"' in policy or not POLICY_KEYWORDS.isdisjoint(sources)


def _names_function(value: object) -> bool:
    return _is_function(value) or (isinstance(value, str) and value in CREATORS)


def _is_function(value: object) -> bool:
    try:
        return isinstance(value, str) and callable(import_string(value))
    except ImportError:
        return False


def _is_page(value: object) -> bool:
    """Return whether a value is a URL with ``{token}`` and without other placeholders."""
    if not isinstance(value, str) or value.count("{token}") != 1 or re.search(r"[{}\s]", value.replace("{token}", "")):
        return False
    try:
        parts = urlsplit(value)
        # A token in the name of the host would be in the queries to DNS servers.
        if not parts.hostname or "{" in parts.netloc:
            return False
    except ValueError:
        return False
    is_local = settings.DEBUG or parts.hostname in LOCAL_HOSTS
    return parts.scheme == "https" or (parts.scheme == "http" and is_local)


def _find_extra_permissions(value: object) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield _bad_extra(" should be a mapping from role to permissions", value)
        return
    for role, permissions in value.items():
        if role not in Role.values:
            yield _bad_extra(" should have only roles as keys", role, suggest(role, Role.values))
        # Each letter of a string would be a permission.
        if not isinstance(permissions, list | tuple | set | frozenset):
            yield _bad_extra(f"[{role!r}] should be a list of permissions", permissions)
            continue
        for permission in permissions:
            if not isinstance(permission, str) or not permission:
                yield _bad_extra(f"[{role!r}] should contain only permissions", permission)
            elif permission.startswith(RESERVED_NAMESPACE):
                yield _bad_extra(f"[{role!r}] should contain only your own permissions", permission, RENAME)


def _exists(module: str) -> bool:
    # The default names packages that the project need not have.
    if module in ACCOUNT_PACKAGES:
        return True
    # A view can be named as well.
    package, _, name = module.rpartition(".")
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return bool(package) and _exists(package) and hasattr(import_module(package), name)


def _is_reported(header: str) -> bool:
    """Return whether the reports of Django's ``AdminEmailHandler`` and error page show the value of a request header."""
    request, name = HttpRequest(), HttpHeaders.to_wsgi_name(header)
    request.META = {name: "csb_"}
    try:
        reporter_filter = import_string(settings.DEFAULT_EXCEPTION_REPORTER_FILTER)()
        return bool(reporter_filter.get_safe_request_meta(request)[name] == "csb_")
    except Exception:
        # Django raises the same error in its own report.
        return False


def _bad_extra(problem: str, value: object, advice: str = EXAMPLE) -> Finding:
    return Finding("E005", values={"problem": problem, "value": repr(value), "advice": advice})
