from datetime import timedelta
from functools import partial
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminRadioSelect, AdminSplitDateTime
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.crypto import get_random_string
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from closient_auth.forms import GRACES, LeakedKeyField, LinesField, PermissionsField, add_errors
from closient_auth.models import ApiKey
from closient_auth.models.api_keys import EDITABLE_FIELDS
from closient_auth.models.restrictions import RESTRICTIONS
from closient_auth.roles import KEY_RULES, KeyHolder

# By holder: what is missing in the form if neither an organization nor a user is chosen.
CHOOSE_HOLDER = {
    KeyHolder.ORGANIZATION: _("Choose an organization."),
    KeyHolder.USER: _("Choose a user."),
}


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    # Why the model refused to save this form when it was valid.
    refusal: ValidationError | None = None

    class Meta:
        model = ApiKey
        fields = [*EDITABLE_FIELDS]
        help_texts = {
            "permissions": _(
                "Check none to allow everything that the type of the key, or the role of its user, allows."
            ),
            "restricted_to": _(
                "For user keys: the only organization in which the key works. Empty: all of the user's."
            ),
            "allowed_networks": _(
                "Networks of the clients that may use the key, one on each line, such as 203.0.113.0/24. Empty: all."
            ),
            "allowed_origins": _(
                "For publishable keys: origins of the web pages that may use the key, one on each line, such as "
                "https://www.example.com. Empty: all. This fences in browsers and proves nothing about other clients."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
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

    class Meta(ApiKeyForm.Meta):
        fields = ["prefix", "organization", "user", *EDITABLE_FIELDS]
        help_texts = {
            **ApiKeyForm.Meta.help_texts,
            "organization": _("Required for a key of an organization."),
            "user": _("Required for a key of a user. The key has this user's role in each organization."),
        }

    def _get_validation_exclusions(self) -> set[str]:
        # ``ApiKey.clean()`` already reports a wrong holder, with a better message than the constraint's.
        return {"prefix", *super()._get_validation_exclusions()}

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        # ``ApiKey.clean()`` reports a wrong holder without a field. Show the error at the field to correct.
        errors = self.errors.pop(NON_FIELD_ERRORS, None)
        if errors is None or "prefix" in self.errors:
            return
        holder = KEY_RULES[self.instance.prefix].holder
        other = next(name for name in KeyHolder if name != holder)
        name = holder if getattr(self.instance, f"{holder}_id") is None else other
        if getattr(self.instance, f"{holder}_id") is getattr(self.instance, f"{other}_id") is None:
            errors.data = [ValidationError(CHOOSE_HOLDER[holder], code="holder")]
        if name not in self.errors:
            self.add_error(name, errors.as_data())


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
        widget=AdminSplitDateTime,
        help_text=_("Empty: that of the old key."),
    )


class FindApiKeyForm(forms.Form):
    attrs = {"autocomplete": "off", "autofocus": True, "class": "vTextField", "spellcheck": "false"}
    api_key = LeakedKeyField(label=_("API key"), widget=forms.PasswordInput(attrs))
