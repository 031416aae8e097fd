"""Read the arguments of the management commands. Raise ``CommandError`` for invalid values."""

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.management import CommandError
from django.db import router

from closient_auth.models import Organization

# The maximum in days (about 100 years); adding more could overflow ``datetime``.
MOST_DAYS = 36_500


def find_organization(text: str) -> Organization:
    """Return the organization with this id or slug."""
    organization = Organization.objects.using(router.db_for_write(Organization)).named(text).first()
    if organization is None:
        raise CommandError(f"Organization {text!r} does not exist. Use an id or slug shown in the admin.")
    return organization


def find_user(text: str) -> AbstractBaseUser:
    """Return the user with this username or id. Raise ``CommandError`` if two users match."""
    model = get_user_model()
    users = model._default_manager.using(router.db_for_write(model))
    found = {*users.filter(**{model.USERNAME_FIELD: text})}
    try:
        found |= {*users.filter(pk=model._meta.pk.to_python(text))}
    except ValidationError:
        # The text is not a valid id, so it can only be a username.
        pass
    if len(found) > 1:
        raise CommandError("Ambiguous user: this is one user's name and another's id. Use the other identifier.")
    if not found:
        raise CommandError("This user does not exist. Use a username or id.")
    return found.pop()


def require_days(days: int, option: str, *, least: int = 0) -> int:
    """Return ``days`` if it is between ``least`` and ``MOST_DAYS``."""
    if not least <= days <= MOST_DAYS:
        raise CommandError(f"{option} should be between {least} and {MOST_DAYS} days.")
    return days
