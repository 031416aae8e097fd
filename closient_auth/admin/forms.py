from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import QueryDict
from django.utils import timezone
from django.utils.crypto import get_random_string, salted_hmac
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from closient_auth.keys import KeyType, find_api_keys
from closient_auth.models import ApiKey
from closient_auth.models.api_keys import EDITABLE_FIELDS


def get_nonce() -> str:
    return get_random_string(22)


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """What may be changed of a key. The rest of its row is nobody's to edit."""

    class Meta:
        model = ApiKey
        fields = [*EDITABLE_FIELDS]

    def clean_expires_at(self) -> datetime | None:
        expires_at: datetime | None = self.cleaned_data["expires_at"]
        # An expired key can still be renamed: only a time that was chosen now must lie ahead.
        if "expires_at" in self.changed_data and expires_at is not None and expires_at <= timezone.now():
            raise ValidationError(_("Choose a time in the future, or none."), code="past")
        return expires_at


class ApiKeyCreationForm(ApiKeyForm):
    """A key to be made, once for each time that the empty form was shown."""

    # A script may leave it out: what it sends again is then known by all that it says.
    nonce = forms.CharField(required=False, initial=get_nonce, widget=forms.HiddenInput({"autocomplete": "off"}))

    class Meta(ApiKeyForm.Meta):
        fields = ["prefix", "organization", "user", *EDITABLE_FIELDS]
        help_texts = {
            "organization": _("The holder of a business or publishable key."),
            "user": _("The holder of a user key, which can do what this user may do in each organization."),
        }

    def _get_validation_exclusions(self) -> set[str]:
        # The constraint on the holder would say again, by its name, what ``ApiKey.clean()`` says in words.
        exclude: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return exclude | {"prefix"}

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        # From ``ApiKey.clean()``, which also serves forms that have no field to show it at.
        errors = self.errors.pop(NON_FIELD_ERRORS, None)
        if errors is None or "prefix" in self.errors:
            return
        holder, other = ("user", "organization") if self.instance.prefix == KeyType.USER else ("organization", "user")
        name = holder if getattr(self.instance, f"{holder}_id") is None else other
        if name not in self.errors:
            self.add_error(name, errors.as_data())


class FindApiKeyForm(forms.Form):
    """
    Take a whole key, alone or in the text that it was found in.

    It is not looked up here: Django's form code keeps the value in variables of its own, and a database that fails
    below them would carry it into the error report.
    """

    api_key = forms.CharField(
        label=_("API key"),
        widget=forms.PasswordInput(
            {"autocomplete": "off", "autofocus": True, "class": "vTextField", "spellcheck": "false"}
        ),
    )

    @sensitive_variables("api_keys")
    def clean_api_key(self) -> str:
        api_keys = find_api_keys(self.cleaned_data["api_key"])
        if not api_keys:
            raise ValidationError(
                _("This is not an API key. Check that it was copied whole and unchanged."), code="invalid"
            )
        if len(api_keys) > 1:
            raise ValidationError(_("There are several API keys in this. Find one at a time."), code="several")
        return api_keys.pop()


def get_pk(user: Any, data: QueryDict) -> UUID:
    """
    Return the primary key of the row that a user makes with this form's nonce.

    Sending a form again meets the row it made, and the database refuses the second. The nonce comes from the browser,
    so it is no primary key itself: it would let the sender choose one, for instance that of a deleted key.
    """
    fields = sorted((name, values) for name, values in data.lists() if name != "csrfmiddlewaretoken")
    nonce = data.get("nonce") or urlencode(fields, doseq=True)
    digest = salted_hmac("closient_auth.admin.add", f"{user.pk}:{nonce}", algorithm="sha256").digest()
    return UUID(bytes=digest[:16], version=4)
