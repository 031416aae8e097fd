"""The old and new values of an audit entry in words."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from closient_auth.admin.moments import show_moment
from closient_auth.forms import get_permission_label
from closient_auth.models import AuditEntry


class Change(NamedTuple):
    label: Any
    old: str
    new: str


def get_target_model(entry: AuditEntry) -> type[models.Model] | None:
    """Return the model of the changed row, or ``None`` for a model that is not one of this package."""
    return apps.get_app_config(AuditEntry._meta.app_label).models.get(entry.target_model)


def list_changes(entry: AuditEntry) -> list[Change]:
    """Return the label, the old and the new value of each field. A field that is only in one of them has an empty other."""
    model = get_target_model(entry)
    names = {*entry.old_values, *entry.new_values}
    # PostgreSQL stores the names in an order of its own.
    known = [field.name for field in model._meta.get_fields() if field.name in names] if model else []
    changes = []
    for name in [*known, *sorted(names.difference(known))]:
        field = _find_field(model, name)
        old, new = (
            _show(name, field, values[name]) if name in values else ""
            for values in (entry.old_values, entry.new_values)
        )
        changes.append(Change(name.replace("_", " ") if field is None else field.verbose_name, old, new))
    return changes


def _find_field(model: type[models.Model] | None, name: str) -> Any:
    # An entry may be older than the names of today's fields.
    try:
        field = model._meta.get_field(name) if model else None
    except FieldDoesNotExist:
        return None
    return field if isinstance(field, models.Field) else None


def _show(name: str, field: Any, value: Any) -> str:
    if name == "permissions" and value is None:
        return _("All")
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_show('', None, each)}" for key, each in value.items()) or "-"
    if isinstance(value, list):
        texts = [get_permission_label(str(each)) if name == "permissions" else str(each) for each in value]
        # An empty list of networks or origins restricts nothing.
        return ", ".join(texts) or (_("None") if name == "permissions" else _("All"))
    choices = dict(getattr(field, "flatchoices", ()))
    moment = _parse(value) if isinstance(field, models.DateTimeField) else None
    return show_moment(moment) if moment else str(choices.get(value, value))


def _parse(value: Any) -> Any:
    try:
        return parse_datetime(str(value))
    except ValueError:
        return None
