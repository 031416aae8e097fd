"""Rules of views with which a person changes how they sign in."""

import re
from collections.abc import Iterator
from typing import Any

from django.contrib.auth import get_user_model

from closient_auth.checks.rules import Finding
from closient_auth.checks.serializers import get_writable_fields
from closient_auth.checks.views import View, includes
from closient_auth.models.addresses import get_address_field
from closient_auth.permissions import SessionOnly

# Compared with names of classes, serializers, actions and routes in snake case. A bare "token" or "email" would be found in
# many names that have nothing to do with accounts.
ACCOUNT = re.compile(
    r"""(?x)
    password | passkey | webauthn | two_?factor | (?<![a-z])(2fa|mfa|totp|otp)(?![a-z])
    | (backup|recovery)_codes?
    | (change|set|update|confirm|verify)_(user_)?e?mail | e?mail_(change|update|confirm|verif)
    | (auth|access|refresh|obtain)_?token | token_?(obtain|refresh)
    | (delete|deactivate|close)_(user_)?account | account_(delete|deletion|deactivat|close|closure)
    """
)
WRITES = {"post", "put", "patch", "delete"}


def find_accounts(view: View) -> Iterator[Finding]:
    """Find views that look like account views and accept API keys: a leaked key would take over its person's account."""
    # A public view, such as the request of a new password, does not use the credential.
    if view.takes_keys and not view.is_public and _writes(view) and not _is_session_only(view) and _is_of_account(view):
        yield Finding("W024", view)


def _writes(view: View) -> bool:
    methods = view.actions or {name for name in view.get("http_method_names") if hasattr(view.cls, name)}
    return not WRITES.isdisjoint(methods)


def _is_session_only(view: View) -> bool:
    return includes(view.permissions, SessionOnly)


def _is_of_account(view: View) -> bool:
    serializer = view.get("serializer_class")
    names = [view.cls.__name__, getattr(serializer, "__name__", ""), *view.actions.values()]
    names += [route.path for route in view.routes]
    if any(ACCOUNT.search(_to_snake_case(name)) for name in names):
        return True
    return isinstance(serializer, type) and _changes_user(serializer) and not view.overrides("get_serializer_class")


def _changes_user(serializer: type) -> bool:
    model = getattr(getattr(serializer, "Meta", None), "model", None)
    sources = {str(field.source) for field in get_writable_fields(serializer).values()}
    is_user = isinstance(model, type) and issubclass(model, get_user_model())
    return any("password" in source for source in sources) or (is_user and get_address_field() in sources)


def _to_snake_case(name: Any) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+", "_", str(name)).lower()
