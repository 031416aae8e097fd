"""Custom user models for the tests; ``CLOSIENT_AUTH_TEST_USER_MODEL`` selects one."""

from __future__ import annotations

from uuid import uuid4

from django.contrib.auth.base_user import AbstractBaseUser
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
