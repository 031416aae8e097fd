from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import QueryDict
from django.utils.crypto import get_random_string, salted_hmac
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from closient_auth.keys import find_api_keys
from closient_auth.models import ApiKey
from closient_auth.models.api_keys import EDITABLE_FIELDS
from closient_auth.roles import KEY_RULES, KeyHolder


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = ApiKey
        fields = [*EDITABLE_FIELDS]

    def clean(self) -> None:
        super().clean()
        # An expired key can still be renamed: only a changed expiry is checked. ``ApiKey.clean()`` checks a new key.
        if not self.instance._state.adding and "expires_at" in self.cleaned_data.keys() & set(self.changed_data):
            self.instance.validate_expiry(self.cleaned_data["expires_at"])


class ApiKeyCreationForm(ApiKeyForm):
    """Create one key for each display of the form, however often the form is submitted."""

    # If a script sends no nonce, ``get_pk()`` hashes the form data to detect a resubmission.
    nonce = forms.CharField(
        required=False, initial=partial(get_random_string, 22), widget=forms.HiddenInput({"autocomplete": "off"})
    )

    class Meta(ApiKeyForm.Meta):
        fields = ["prefix", "organization", "user", *EDITABLE_FIELDS]
        help_texts = {
            "organization": _("Required for a key of an organization."),
            "user": _("Required for a key of a user. The key has this user's role in each organization."),
        }

    def _get_validation_exclusions(self) -> set[str]:
        # ``ApiKey.clean()`` already reports a wrong holder, with a better message than the constraint's.
        return {"prefix", *super()._get_validation_exclusions()}  # type: ignore[misc]

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        # ``ApiKey.clean()`` reports a wrong holder without a field. Show the error at the field to correct.
        errors = self.errors.pop(NON_FIELD_ERRORS, None)
        if errors is None or "prefix" in self.errors:
            return
        holder = KEY_RULES[self.instance.prefix].holder
        other = next(name for name in KeyHolder if name != holder)
        name = holder if getattr(self.instance, f"{holder}_id") is None else other
        if name not in self.errors:
            self.add_error(name, errors.as_data())


class FindApiKeyForm(forms.Form):
    # The form sends no query: Django keeps the key in local variables, which the report of a database error would show.
    attrs = {"autocomplete": "off", "autofocus": True, "class": "vTextField", "spellcheck": "false"}
    api_key = forms.CharField(label=_("API key"), widget=forms.PasswordInput(attrs))

    @sensitive_variables("api_keys")
    def clean_api_key(self) -> str:
        api_keys = find_api_keys(self.cleaned_data["api_key"])
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
    digest = salted_hmac("closient_auth.admin.add", f"{user.pk}:{nonce}", algorithm="sha256").digest()
    return UUID(bytes=digest[:16], version=4)
