"""Custom user models for the tests; ``CLOSIENT_AUTH_TEST_USER_MODEL`` selects one."""

from __future__ import annotations

from uuid import uuid4

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """User model with a UUID primary key."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)


class Guest(AbstractBaseUser):
    """User model with ``is_active`` as a property instead of a column."""

    username = models.CharField(max_length=150, unique=True)
    email = models.EmailField()
    is_blocked = models.BooleanField(default=False)

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"

    @property
    def is_active(self):
        return not self.is_blocked

    @is_active.setter
    def is_active(self, value):
        self.is_blocked = not value


class Account(AbstractBaseUser):
    """User model without ``is_active``: every account is active."""

    username = models.CharField(max_length=150, unique=True)
    email = models.EmailField()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"


class Ticket:
    """A primary key that is an object, as of ``python-ulid`` and ``django-hashid-field``. JSON cannot represent it."""

    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text

    def __eq__(self, other):
        return isinstance(other, Ticket) and self.text == other.text

    def __hash__(self):
        return hash(self.text)


class TicketField(models.CharField):  # type: ignore[type-arg]
    def from_db_value(self, value, expression, connection):
        return self.to_python(value)

    def to_python(self, value):
        return value if value is None or isinstance(value, Ticket) else Ticket(value)

    def get_prep_value(self, value):
        return None if value is None else str(value)


def make_ticket():
    return Ticket(uuid4().hex)


class Traveller(AbstractBaseUser):
    """User model with an object as its primary key."""

    id = TicketField(primary_key=True, max_length=32, default=make_ticket, editable=False)
    username = models.CharField(max_length=150, unique=True)
    email = models.EmailField()
    is_active = models.BooleanField(default=True)
    is_superuser = models.BooleanField(default=False)

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"


class CustomerManager(BaseUserManager["Customer"]):
    def get_queryset(self):
        return super().get_queryset().filter(deleted_at=None)


class Customer(AbstractBaseUser):
    """User model with soft deletion: the default manager hides deleted users."""

    username = models.CharField(max_length=150, unique=True)
    email = models.EmailField()
    is_active = models.BooleanField(default=True)
    deleted_at = models.DateTimeField(null=True)

    objects = CustomerManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
