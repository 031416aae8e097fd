"""Rows by what people type. Each raises ``CommandError`` with a sentence that says what to do."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.management import CommandError
from django.db import router

from closient_auth.models import Organization

# More days than a date can hold would be an error of Python's.
MOST_DAYS = 36_500


def find_organization(text: str) -> Organization:
    """Return the organization with this id or slug."""
    organization = Organization.objects.using(router.db_for_write(Organization)).named(text).first()
    if organization is None:
        raise CommandError(f"There is no organization {text!r}: name one by its id or slug, as the admin shows them.")
    return organization


def find_user(text: str) -> AbstractBaseUser:
    """Return the user with this name or id; of two, one whose name is the id of the other, neither."""
    model = get_user_model()
    users = model._default_manager.using(router.db_for_write(model))
    found = {*users.filter(**{model.USERNAME_FIELD: text})}
    try:
        found |= {*users.filter(pk=model._meta.pk.to_python(text))}
    except ValidationError:
        # A name that does not read as an id.
        pass
    if len(found) > 1:
        raise CommandError("That is the name of one user and the id of another: name the one you mean the other way.")
    if not found:
        raise CommandError("There is no such user: name one by user name or id.")
    return found.pop()


def require_days(days: int, option: str, *, least: int = 0) -> int:
    """Return the days that an option was given."""
    if not least <= days <= MOST_DAYS:
        raise CommandError(f"{option} takes days, from {least} to {MOST_DAYS}.")
    return days
