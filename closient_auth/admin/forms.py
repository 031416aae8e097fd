from datetime import date, timedelta
from functools import partial
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.admin.widgets import AdminRadioSelect
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from closient_auth.forms import GRACES, LeakedKeyField, LinesField, PermissionsField, add_errors
from closient_auth.models import ApiKey
from closient_auth.models.api_keys import EDITABLE_FIELDS
from closient_auth.models.restrictions import RESTRICTIONS
from closient_auth.roles import KeyHolder, get_key_types

# The expiries that browsers suggest.
LIFETIMES = {7: _("7 days"), 30: _("30 days"), 90: _("90 days"), 365: _("1 year")}

# By holder: the error if none is chosen.
CHOOSE_HOLDER = {
    KeyHolder.ORGANIZATION: _("Choose an organization."),
    KeyHolder.USER: _("Choose a user."),
}


class ExpiryWidget(forms.SplitDateTimeWidget):
    """Browsers' own fields for a date and a time. The shortcuts of Django's widget, "Today" and "Now", are no expiry."""

    template_name = "admin/closient_auth/expiry.html"

    def __init__(self, attrs: Any = None) -> None:
        super().__init__(attrs, date_format="%Y-%m-%d", time_format="%H:%M:%S")
        self.widgets[0].input_type, self.widgets[1].input_type = "date", "time"

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)
        widget, today = context["widget"], timezone.localdate() if settings.USE_TZ else date.today()
        widget["timezone"] = timezone.get_current_timezone_name() if settings.USE_TZ else ""
        widget["choices_id"] = f"{widget['attrs'].get('id', name)}_choices"
        widget["choices"] = [((today + timedelta(days=days)).isoformat(), label) for days, label in LIFETIMES.items()]
        day, clock = (part["attrs"] for part in widget["subwidgets"])
        day |= {"list": widget["choices_id"], "aria-label": _("Date")}
        clock |= {"step": 1, "aria-label": _("Time")}
        return context


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    # Why the model refused to save this form when it was valid.
    refusal: ValidationError | None = None

    class Meta:
        model = ApiKey
        fields = [*EDITABLE_FIELDS]
        help_texts = {
            "permissions": _("Check none to allow everything that a key of this type, or its user, may do."),
            "restricted_to": _(
                "For user keys: the only organization in which the key works. Empty: all of the user's."
            ),
            "allowed_networks": _(
                "Networks of the clients that may use the key, one on each line, such as 203.0.113.0/24. Empty: all."
            ),
            "allowed_origins": _(
                "For publishable keys: origins of the web pages that may use the key, one on each line, such as "
                "https://www.example.com. Empty: all. Only browsers respect this."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if name_field := self.fields.get("name"):
            # A key without a name can be changed, but no key loses its name.
            name_field.required = self.instance._state.adding or bool(self.instance.name)
        for name, field in self.fields.items():
            # On an old page, a restriction that somebody else has changed since must not count as changed by this form.
            field.show_hidden_initial = name in RESTRICTIONS and not self.instance._state.adding
            if isinstance(field, PermissionsField | LinesField):
                stored = field.show(getattr(self.instance, name), self._get_shown(name))
                # The address of the page can fill in the form of a new key.
                self.initial[name] = (self.instance._state.adding and self.initial.get(name)) or stored
                self._tell_if_malformed(name)

    def full_clean(self) -> None:
        super().full_clean()
        if self.refusal is not None and not self.errors:
            add_errors(self, self.refusal)

    def clean(self) -> None:
        super().clean()
        # An expired key can still be renamed: only a changed expiry is checked. ``ApiKey.clean()`` checks a new key.
        if not self.instance._state.adding and "expires_at" in self.cleaned_data.keys() & set(self.changed_data):
            self.instance.validate_expiry(self.cleaned_data["expires_at"])

    def _get_validation_exclusions(self) -> set[str]:
        # A key with a malformed restriction can still be renamed: only a changed one is checked.
        unchanged = set() if self.instance._state.adding else set(RESTRICTIONS) - set(self.changed_data)
        return unchanged | super()._get_validation_exclusions()  # type: ignore[misc, no-any-return]

    def _get_shown(self, name: str) -> Any:
        hidden: Any = self.fields[name].hidden_widget()
        return hidden.value_from_datadict(self.data, self.files, self.add_initial_prefix(name))

    def _tell_if_malformed(self, name: str) -> None:
        try:
            self.instance._meta.get_field(name).clean(getattr(self.instance, name), self.instance)
        except ValidationError:
            text = _("Requests with this key are refused until you correct the unknown or malformed entry.")
            note = format_html('<strong class="malformed">{}</strong>', text)
            self.fields[name].help_text = format_html("{} {}", note, self.fields[name].help_text)


class ApiKeyCreationForm(ApiKeyForm):
    """Create one key for each display of the form, however often the form is submitted."""

    # If a script sends no nonce, ``get_pk()`` hashes the form data to detect a resubmission.
    nonce = forms.CharField(
        required=False, initial=partial(get_random_string, 22), widget=forms.HiddenInput({"autocomplete": "off"})
    )

    # The field of the only holder that this form offers.
    holder: KeyHolder | None = None

    class Meta(ApiKeyForm.Meta):
        fields = ["prefix", "organization", "user", *EDITABLE_FIELDS]
        help_texts = {
            **ApiKeyForm.Meta.help_texts,
            "user": _("The key may do what this user may do in each organization."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.holder is None:
            return
        key_types = get_key_types(self.holder)
        field: Any = self.fields["prefix"]
        field.choices = [choice for choice in field.choices if choice[0] in ("", *key_types)]
        if len(key_types) == 1:
            field.initial, field.choices = key_types[0], field.choices[1:]
        holder = self.fields[self.holder]
        holder.required, holder.error_messages["required"] = True, CHOOSE_HOLDER[self.holder]

    def _get_validation_exclusions(self) -> set[str]:
        # ``ApiKey.clean()`` already reports a wrong holder, with a better message than the constraint's.
        return {"prefix", *super()._get_validation_exclusions()}

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.holder in self.errors:
            # ``ApiKey.clean()`` reports a missing holder once more.
            self.errors.pop(NON_FIELD_ERRORS, None)


class RotationForm(forms.Form):
    # Nothing is chosen at first: the old key may be leaked, or in use on many servers.
    grace = forms.TypedChoiceField(
        label=_("End of the old key"),
        choices=[(int(grace.total_seconds()), label) for grace, label in GRACES.items()],
        coerce=lambda seconds: timedelta(seconds=int(seconds)),
        widget=AdminRadioSelect,
    )
    expires_at = forms.SplitDateTimeField(
        label=_("Expiry of the new key"),
        required=False,
        widget=ExpiryWidget,
        help_text=_("Empty: that of the old key."),
    )


class FindApiKeyForm(forms.Form):
    attrs = {"autocomplete": "off", "autofocus": True, "class": "vTextField", "spellcheck": "false"}
    api_key = LeakedKeyField(label=_("API key"), widget=forms.PasswordInput(attrs))
