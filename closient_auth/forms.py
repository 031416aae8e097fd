"""Form fields and functions that the admin and the dashboard share."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import QueryDict
from django.utils.crypto import salted_hmac
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from closient_auth.keys import find_api_keys
from closient_auth.roles import Permission, get_all_permissions, sort_permissions

# The value of the check box for an empty list. No permission has this name.
NOTHING = "(nothing)"
GRACES = {
    timedelta(0): _("Now: the old key stops working at once"),
    timedelta(hours=1): _("In 1 hour"),
    timedelta(days=1): _("In 1 day"),
    timedelta(days=7): _("In 7 days"),
}


def add_errors(form: forms.BaseForm, error: ValidationError) -> None:
    """Show the errors of a model in a form: at their fields, or above the form if it does not have the field."""
    # ``BaseForm.add_error()`` fails for an unknown field.
    for name, errors in getattr(error, "error_dict", {NON_FIELD_ERRORS: error}).items():
        form.add_error(name if name in form.fields else None, errors)


def list_texts(value: Any) -> list[str]:
    """Return the texts in a restriction of a row, or a malformed value as one text."""
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return value
    return [json.dumps(value)]


def get_permission_label(name: str) -> str:
    """Return how the pages call a permission. Permissions of a project have no other name."""
    return str(Permission(name).label) if name in Permission else name


class HiddenTexts(forms.HiddenInput):
    """A list of texts in one hidden input.

    ``MultipleHiddenInput`` is no input at all for an empty list. When the form is shown again with an error, Django would
    then take what was posted for what the first page showed, and a new restriction would seem unchanged.
    """

    def format_value(self, value: Any) -> str:
        return "\n".join(value or [])

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        return (data.get(name) or "").splitlines()


class PermissionsField(forms.MultipleChoiceField):
    """Check boxes: none checked is ``None`` (no restriction), and ``NOTHING`` an empty list."""

    widget = forms.CheckboxSelectMultiple
    hidden_widget = HiddenTexts

    def clean(self, value: Any) -> list[str] | None:
        names = super().clean(value)
        if NOTHING not in names:
            return names or None
        if len(names) > 1:
            raise ValidationError(_("Choose either permissions or nothing."), code="permissions_and_nothing")
        return []

    def show(self, stored: Any, shown: list[str]) -> list[str]:
        """Offer all permissions and those of a row, also unknown ones. Return the checked ones.

        ``shown`` are the permissions that were checked when the page was shown. They are offered as well.
        """
        checked = [] if stored is None else list_texts(stored) or [NOTHING]
        known = sort_permissions(get_all_permissions())
        unknown = [name for name in dict.fromkeys(checked + shown) if name not in (*known, NOTHING)]
        self.choices = [
            *((name, get_permission_label(name)) for name in known),
            *((name, _("%s (unknown)") % name) for name in unknown),
            (NOTHING, _("Nothing: the key has no permission at all")),
        ]
        return checked


class LinesField(forms.CharField):
    """A list of texts, one on each line. Blank lines, and spaces around a text, are ignored."""

    widget = forms.Textarea(attrs={"cols": 60, "rows": 4, "spellcheck": "false"})

    def show(self, stored: Any, shown: object) -> str:
        """Return the text for the value of a row."""
        return "\n".join(list_texts(stored))

    def clean(self, value: Any) -> list[str]:
        return self._split(super().clean(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return self._split(initial or "") != self._split(data or "")

    def _split(self, text: str) -> list[str]:
        return [line for raw in text.splitlines() if (line := raw.strip())]


class LeakedKeyField(forms.CharField):
    """A raw API key, or a text with one in it, such as a line of a log. The key is the cleaned value.

    The field sends no query: Django keeps the key in local variables, which the report of a database error would show.
    """

    @sensitive_variables()
    def clean(self, value: Any) -> str:
        api_keys = find_api_keys(super().clean(value))
        if not api_keys:
            raise ValidationError(_("This is not an API key. Check that you copied all of it."), code="invalid")
        if len(api_keys) > 1:
            raise ValidationError(_("This text contains several API keys. Enter one at a time."), code="several")
        return api_keys.pop()


def get_pk(user: Any, data: QueryDict) -> UUID:
    """Return the primary key for the row created from this form, derived from the user and the nonce.

    A resubmitted form gets the same primary key, so the database refuses a second row. The nonce is not used as the
    primary key itself, because the browser could then choose one, for example that of a deleted key.
    """
    fields = sorted((name, values) for name, values in data.lists() if name != "csrfmiddlewaretoken")
    nonce = data.get("nonce") or urlencode(fields, doseq=True)
    digest = salted_hmac("closient_auth.forms.add", f"{user.pk}:{nonce}", algorithm="sha256").digest()
    return UUID(bytes=digest[:16], version=4)
