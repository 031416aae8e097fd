"""The entries of the audit log in words, for people.

The names in an entry are texts that somebody chose, so every sentence is built with ``format_html()``.
"""

import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.apps import apps
from django.db.models import DateTimeField, Model
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html, strip_tags
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from closient_auth.forms import get_permission_label
from closient_auth.models import AuditEntry
from closient_auth.models.actors import SYSTEM
from closient_auth.models.audit import Event
from closient_auth.models.invitations import InvitationState
from closient_auth.models.people import get_full_name
from closient_auth.moments import format_full
from closient_auth.roles import Role

SENTENCES: Mapping[str, Any] = {
    Event.ORGANIZATION_CREATED: gettext_lazy("{actor} created the organization {target}"),
    Event.ORGANIZATION_CHANGED: gettext_lazy("{actor} changed the organization {target}"),
    Event.ORGANIZATION_DELETED: gettext_lazy("{actor} deleted the organization {target}"),
    Event.MEMBER_ADDED: gettext_lazy("{actor} added {target} with the role {role}"),
    Event.MEMBER_CHANGED: gettext_lazy("{actor} changed the membership of {target}"),
    Event.MEMBER_REMOVED: gettext_lazy("{actor} removed {target} from the organization"),
    Event.INVITATION_CREATED: gettext_lazy("{actor} invited {target} with the role {role}"),
    Event.INVITATION_RESENT: gettext_lazy("{actor} sent the invitation to {target} again"),
    Event.INVITATION_WITHDRAWN: gettext_lazy("{actor} withdrew the invitation to {target}"),
    Event.INVITATION_ACCEPTED: gettext_lazy("{actor} accepted the invitation to {target}"),
    Event.INVITATION_DECLINED: gettext_lazy("{actor} declined the invitation to {target}"),
    Event.API_KEY_CREATED: gettext_lazy("{actor} created the key {target}"),
    Event.API_KEY_CHANGED: gettext_lazy("{actor} changed the key {target}"),
    Event.API_KEY_ROTATED: gettext_lazy("{actor} rotated a key; the new one is {target}"),
    Event.API_KEY_REVOKED: gettext_lazy("{actor} revoked the key {target}"),
    Event.API_KEY_SHUT_OUT: gettext_lazy("{actor} shut out the user key {target}"),
    Event.API_KEY_LET_IN: gettext_lazy("{actor} let in the user key {target} again"),
    Event.REVOKED_API_KEY_USED: gettext_lazy("Somebody used the revoked key {target}"),
    Event.API_KEY_USED_IN_BROWSER: gettext_lazy("Somebody used the secret key {target} in a browser"),
    Event.AUDIT_PRUNED: gettext_lazy("{actor} deleted old entries of the audit log"),
    Event.USER_FORGOTTEN: gettext_lazy("{actor} removed a person from the audit log"),
}

# Sentences for a change of one field, by whether its new value is empty.
CHANGES: Mapping[tuple[str, str, bool], Any] = {
    (Event.ORGANIZATION_CHANGED, "name", True): gettext_lazy("{actor} renamed the organization to {target}"),
    (Event.ORGANIZATION_CHANGED, "slug", True): gettext_lazy("{actor} changed the slug from {old} to {new}"),
    (Event.ORGANIZATION_CHANGED, "user_keys_allowed", True): gettext_lazy("{actor} allowed user keys"),
    (Event.ORGANIZATION_CHANGED, "user_keys_allowed", False): gettext_lazy("{actor} refused user keys"),
    (Event.ORGANIZATION_CHANGED, "suspended_at", True): gettext_lazy("{actor} suspended the organization"),
    (Event.ORGANIZATION_CHANGED, "suspended_at", False): gettext_lazy("{actor} lifted the suspension"),
    (Event.MEMBER_CHANGED, "role", True): gettext_lazy("{actor} changed the role of {target} from {old} to {new}"),
    (Event.API_KEY_CHANGED, "expires_at", True): gettext_lazy("{actor} changed the expiry of the key {target}"),
    (Event.API_KEY_CHANGED, "expires_at", False): gettext_lazy("{actor} removed the expiry of the key {target}"),
}

# Sentences about people who changed their own membership.
OWN: Mapping[str, Any] = {
    Event.MEMBER_ADDED: gettext_lazy("{actor} joined with the role {role}"),
    Event.MEMBER_REMOVED: gettext_lazy("{actor} left the organization"),
}

# What is not a field of a model.
LABELS: Mapping[str, Any] = {
    "api_keys": gettext_lazy("API keys"),
    "entries": gettext_lazy("entries"),
    "invitations": gettext_lazy("invitations"),
    "members": gettext_lazy("members"),
    "older_than": gettext_lazy("older than"),
    "placeholder": gettext_lazy("placeholder"),
    "state": gettext_lazy("state"),
    "user_keys": gettext_lazy("user keys"),
}

CHOICES: Mapping[str, Any] = {"state": InvitationState.choices, "members": Role.choices}

NONE = pgettext_lazy("no value", "none")
# What an empty value of a field means, where it is not ``NONE``.
EMPTY: Mapping[str, Any] = {
    "expires_at": pgettext_lazy("expiry", "never"),
    "permissions": pgettext_lazy("permissions of a key", "all"),
    "allowed_networks": pgettext_lazy("networks of a key", "all"),
    "allowed_origins": pgettext_lazy("origins of a key", "all"),
    "rate_limit_per_minute": pgettext_lazy("limit of a key", "default"),
    "rate_limit_per_day": pgettext_lazy("limit of a key", "default"),
}
# The fields with the id of an account.
ACCOUNTS = {"user", "created_by", "invited_by"}
# The text of a key in an entry: its first characters, and maybe its name.
KEY = re.compile(r"(?P<hint>[a-z]{3}_[^\s…]*…)(?: (?P<name>.*))?", re.DOTALL)


class Change(NamedTuple):
    """The old and the new value of a field, in words. Each is ``None`` if the entry does not have it."""

    label: str
    old: str | None
    new: str | None


def describe(entry: AuditEntry) -> SafeString:
    """Return what happened as a sentence in HTML. Load entries with ``select_related("user")`` to save queries."""
    old, new = read_values(entry.old_values), read_values(entry.new_values)
    text = SENTENCES.get(entry.event)
    if text is None:
        # A later version of this package wrote the entry.
        return format_html("{}: {} {}", _show_actor(entry), entry.event, _show_target(entry))
    if entry.event in OWN and _is_own(entry, {**old, **new}):
        text = OWN[entry.event]
    field = next(iter(new)) if len(new) == 1 else ""
    return format_html(
        CHANGES.get((entry.event, field, bool(new.get(field))), text),
        actor=_show_actor(entry),
        target=_show_target(entry),
        role=_show_value(entry, "role", new.get("role", _split(entry)[1])),
        old=format_html("<b>{}</b>", _show_value(entry, field, old.get(field))),
        new=format_html("<b>{}</b>", _show_value(entry, field, new.get(field))),
    )


def describe_in_text(entry: AuditEntry) -> str:
    """Return the sentence of ``describe()`` as a text."""
    return html.unescape(strip_tags(describe(entry)))


def get_actor_name(entry: AuditEntry) -> str:
    """Return the name of the person, the key or the program that made the change."""
    if entry.user is not None:
        name = get_full_name(entry.user) or entry.actor
        return str(_("%s (with an API key)") % name if entry.api_key_id else name)
    # A deleted person may have had this name, but they had an address as well.
    is_system = entry.actor == str(SYSTEM) and entry.api_key_id is None and not entry.address
    return _("The application") if is_system else entry.actor


def get_changes(entry: AuditEntry) -> list[Change]:
    """Return the fields of an entry with their old and new values, without those that a new row leaves empty."""
    old, new = read_values(entry.old_values), read_values(entry.new_values)
    return [
        Change(
            _get_label(entry, name),
            _show_value(entry, name, old[name]) if name in old else None,
            _show_value(entry, name, new[name]) if name in new else None,
        )
        for name in _sort(entry, {**old, **new})
        if (name in old and name in new) or _is_telling(entry, name, old.get(name, new.get(name)))
    ]


def find_model(entry: AuditEntry) -> type[Model] | None:
    """Return the model of the changed row, or ``None`` if this version of the package has no such model."""
    return apps.get_app_config(AuditEntry._meta.app_label).models.get(entry.target_model)


def read_values(values: Any) -> dict[str, Any]:
    """Return the values of an entry by field, also if another program wrote something else."""
    return values if isinstance(values, dict) else {"value": values}


def _sort(entry: AuditEntry, names: Iterable[str]) -> list[str]:
    """Return the names in the order of the model, and others after them. PostgreSQL keeps no order of its own."""
    known = getattr(find_model(entry), "audited_fields", ())
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def _is_telling(entry: AuditEntry, name: str, value: Any) -> bool:
    # The page of an organization says which one this is.
    is_here = name == "organization" and value == str(entry.organization_id)
    return not is_here and (isinstance(value, bool) or bool(value))


def _is_own(entry: AuditEntry, values: Mapping[str, Any]) -> bool:
    # Some primary keys are texts in an entry.
    return entry.user_id is not None and str(values.get("user")) == str(entry.user_id)


def _show_actor(entry: AuditEntry) -> SafeString:
    name = get_actor_name(entry)
    return _show_key(name) if entry.user is None and entry.api_key_id else format_html("<b>{}</b>", name)


def _show_target(entry: AuditEntry) -> SafeString:
    if entry.target_model == "apikey":
        return _show_key(entry.target)
    return format_html("<b>{}</b>", _split(entry)[0])


def _show_key(text: str) -> SafeString:
    match = KEY.fullmatch(text)
    if match is None:
        return format_html("<b>{}</b>", text)
    if not match["name"]:
        return format_html("<code>{}</code>", match["hint"])
    return format_html("<b>{}</b> <code>{}</code>", match["name"], match["hint"])


def _split(entry: AuditEntry) -> tuple[str, str]:
    """Return the name and the role of a target such as "ada: Owner"; no role for other targets."""
    name, separator, role = entry.target.rpartition(": ")
    has_role = separator and entry.target_model in {"membership", "invitation"}
    return (name, role) if has_role else (entry.target, "")


def _find_field(entry: AuditEntry, name: str) -> Any:
    model = find_model(entry)
    fields = model._meta.fields if model else ()
    return next((field for field in fields if field.name == name), None)


def _get_label(entry: AuditEntry, name: str) -> str:
    field = _find_field(entry, name)
    label = LABELS.get(name) if field is None else field.verbose_name
    return str(capfirst(str(label or name.replace("_", " "))))


def _show_value(entry: AuditEntry, name: str, value: Any) -> str:
    """Return a value in words."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    # An empty list of permissions permits nothing, but one of networks or origins restricts nothing.
    if value is None or (name in EMPTY and not value and (name, value) != ("permissions", [])):
        return str(EMPTY.get(name, NONE))
    if isinstance(value, dict):
        shown = [f"{key}: {_show_item(entry, name, item)}" for key, item in value.items()]
    else:
        shown = [_show_item(entry, name, item) for item in (value if isinstance(value, list) else [value])]
    return ", ".join(shown) or str(NONE)


def _show_item(entry: AuditEntry, name: str, value: Any) -> str:
    if name in ACCOUNTS:
        return _show_account(entry, name, value)
    if value is None or isinstance(value, bool):
        return _show_value(entry, "", value)
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if name == "permissions":
        return get_permission_label(value)
    field = _find_field(entry, name)
    if isinstance(field, DateTimeField) or name == "older_than":
        return _show_time(value)
    choices = CHOICES.get(name, ()) if field is None else field.flatchoices
    return str(dict(choices).get(value, value))


def _show_account(entry: AuditEntry, name: str, value: Any) -> str:
    """Return the name in the entry that belongs to the id, or else the id.

    Nothing looks the account up: ``forget_user()`` has removed names from the log, but not the account.
    """
    if entry.user is not None and str(value) == str(entry.user_id):
        return get_actor_name(entry)
    if name == "user" and entry.target_model == "membership":
        return _split(entry)[0]
    return str(_("account %s") % value)


def _show_time(value: str) -> str:
    try:
        moment = parse_datetime(value)
    except ValueError:
        moment = None
    return value if moment is None else format_full(moment)
