from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from closient_auth.conf import AppSettings, conf
from closient_auth.models.api_keys import MAX_LIMIT
from closient_auth.roles import RESERVED_NAMESPACE, Role, get_all_permissions, get_role_permissions

# Underscores are legal in HTTP, but servers drop such headers, since CGI cannot tell them from hyphens.
HEADER_NAME = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")
# What clients, proxies and Django put there would be taken for a key, and refused.
TAKEN_HEADERS = {
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "origin",
    "proxy-authorization",
    "referer",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-organization",
}


def check_settings(**kwargs: object) -> Iterator[CheckMessage]:
    """Check the names, types and ranges in ``settings.CLOSIENT_AUTH``."""
    user_settings: object = conf.user_settings
    if not isinstance(user_settings, Mapping):
        yield Error(
            f"CLOSIENT_AUTH should be a dictionary, not a {type(user_settings).__name__}.",
            hint='Write CLOSIENT_AUTH = {"RATE_LIMIT_PER_MINUTE": 300}, or remove the setting.',
            id="closient_auth.E002",
        )
        return
    for name, value in user_settings.items():
        yield from _check_setting(name, value)


def check_owner_permissions(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that the owner has each of the host's extra permissions."""
    # What is written wrongly has its own message.
    if any(check_settings()):
        return
    if lacking := sorted(get_all_permissions() - get_role_permissions(Role.OWNER)):
        yield Warning(
            f"CLOSIENT_AUTH['EXTRA_ROLE_PERMISSIONS'] should also give the owner: {', '.join(lacking)}.",
            hint="Roles do not inherit permissions. Add these to 'owner' too.",
            id="closient_auth.W015",
        )


def suggest(name: object, known: Collection[str]) -> str:
    """Return a hint for a name that is none of the known ones: those it begins, the nearest, or all of them."""
    spellings = {spelling.lower(): str(spelling) for spelling in known}
    start = str(name).lower()
    begun = [spelling for spelling in spellings if start and spelling.startswith(start)]
    if near := begun or get_close_matches(start, spellings, n=1):
        return f"Did you mean {' or '.join(repr(spellings[spelling]) for spelling in near)}?"
    return f"Use one of: {', '.join(sorted(known))}."


def _check_setting(name: object, value: object) -> Iterator[CheckMessage]:
    known = [name for name, member in vars(AppSettings).items() if isinstance(member, property) and name.isupper()]
    if name not in known:
        hint = suggest(name, known)
        yield Error(f"CLOSIENT_AUTH[{name!r}] is not a known setting.", hint=hint, id="closient_auth.E001")
    elif name == "HEADER":
        yield from _check_header(value)
    elif name == "EXTRA_ROLE_PERMISSIONS":
        yield from _check_extra_role_permissions(value)
    else:
        is_good, wanted = VALUES[type(getattr(DEFAULTS, str(name)))]
        if not is_good(value):
            message = f"CLOSIENT_AUTH[{name!r}] should be {wanted}, not {value!r}."
            hint = f"Remove it to use the default, {getattr(DEFAULTS, str(name))!r}."
            yield Error(message, hint=hint, id="closient_auth.E003")


class Defaults(AppSettings):
    """The settings of a host that wrote none."""

    user_settings: Mapping[str, Any] = {}


DEFAULTS = Defaults()


def _is_whole_number(value: object) -> bool:
    # ``True`` is an ``int`` to Python, and a limit of 1 to nobody.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_LIMIT


# What a setting must be, by the type of its default.
VALUES: Mapping[type, tuple[Callable[[object], bool], str]] = {
    bool: (lambda value: isinstance(value, bool), "True or False"),
    int: (_is_whole_number, f"an integer from 0 to {MAX_LIMIT}"),
    str: (lambda value: isinstance(value, str) and value != "", "a non-empty string"),
}


def _check_header(value: object) -> Iterator[CheckMessage]:
    if not isinstance(value, str) or not HEADER_NAME.fullmatch(value):
        yield Error(
            f"CLOSIENT_AUTH['HEADER'] should be a valid header name, not {value!r}.",
            hint=f"Use letters, digits and single hyphens, such as {DEFAULTS.HEADER!r}. Servers drop other headers.",
            id="closient_auth.E004",
        )
        return
    csrf_header = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-").lower()
    if value.lower() in {*TAKEN_HEADERS, csrf_header}:
        yield Error(
            f"CLOSIENT_AUTH['HEADER'] should not be {value!r}, which already has another meaning.",
            hint=f"Its values would be refused as invalid keys. Use a header of your own, such as {DEFAULTS.HEADER!r}.",
            id="closient_auth.E004",
        )


def _check_extra_role_permissions(value: object) -> Iterator[CheckMessage]:
    if not isinstance(value, Mapping):
        yield _bad_extra(f" should be a mapping from role to permissions, not {value!r}.")
        return
    for role, permissions in value.items():
        if role not in Role.values:
            yield _bad_extra(f" names {role!r}, which is not a role.", suggest(role, Role.values))
        # A text is iterable as well: each of its letters would be a permission.
        if not isinstance(permissions, list | tuple | set | frozenset):
            yield _bad_extra(f"[{role!r}] should be a list of permissions, not {permissions!r}.")
            continue
        for permission in permissions:
            if not isinstance(permission, str) or not permission:
                yield _bad_extra(f"[{role!r}] names {permission!r}, which is not a permission.")
            elif permission.startswith(RESERVED_NAMESPACE):
                yield _bad_extra(
                    f"[{role!r}] should not name {permission!r}: {RESERVED_NAMESPACE!r} is reserved.",
                    "It is ignored. Name permissions after your own app, such as 'offers.publish'.",
                )


def _bad_extra(
    message: str, hint: str = 'Write it as {"owner": ["offers.publish"], "editor": ["offers.publish"]}.'
) -> Error:
    return Error(f"CLOSIENT_AUTH['EXTRA_ROLE_PERMISSIONS']{message}", hint=hint, id="closient_auth.E005")
