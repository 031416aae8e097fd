"""Compare the e-mail addresses of users and invitations."""

from django.contrib.auth import get_user_model


def fold_address(address: str) -> str:
    """Return the e-mail address with its ASCII letters in lower case, for comparison."""
    # ``str.lower()`` would also turn the Kelvin sign (U+212A) into "k". An attacker with such an address could then
    # accept another person's invitation.
    return address.encode().lower().decode()


def get_address_field() -> str | None:
    """Return the name of the user model's e-mail field, or ``None`` if the model has no such column."""
    model = get_user_model()
    name: str = model.get_email_field_name()
    return name if any(field.name == name for field in model._meta.concrete_fields) else None
