from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from tests.accounts.models import User

if settings.AUTH_USER_MODEL == "accounts.User":
    admin.site.register(User, UserAdmin)
