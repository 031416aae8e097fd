"""The e-mail addresses of users, as invitations compare them."""

from __future__ import annotations

from django.contrib.auth import get_user_model


def fold_address(address: str) -> str:
    """
    Return the e-mail address by which two are compared.

    Only ASCII letters lose their case. ``str.lower()`` would turn the Kelvin sign into a k, and whoever can register an
    address with one would take the invitation of its neighbour.
    """
    return address.encode().lower().decode()


def get_address_field() -> str | None:
    """Return the name of the user model's field of e-mail addresses, or ``None`` where it has none."""
    model = get_user_model()
    name: str = model.get_email_field_name()
    return name if any(field.name == name for field in model._meta.concrete_fields) else None
