from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User

from closient_auth.admin import LiveKeysMixin

admin.site.unregister(User)


@admin.register(User)
class StaffUserAdmin(LiveKeysMixin, UserAdmin):
    """Names the live API keys of a user who is deactivated or deleted."""
