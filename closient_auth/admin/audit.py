"""Admin pages of the audit log, and the base class to record changes in it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from django.contrib import admin
from django.db import router
from django.http import HttpRequest, HttpResponse

from closient_auth.models import AuditEntry
from closient_auth.models.audit import acting


def acting_staff(request: HttpRequest) -> AbstractContextManager[None]:
    """Return a context manager to record changes with the request's staff user as the actor."""
    user: Any = request.user
    return acting(user=user, address=request.META.get("REMOTE_ADDR") or "")


class AuditedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Record changes with the staff user as the actor, and read from the primary database instead of a replica."""

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).using(router.db_for_write(self.model))

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with acting_staff(request):
            return super().changeform_view(request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with acting_staff(request):
            return super().delete_view(request, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with acting_staff(request):
            return super().changelist_view(request, *args, **kwargs)


@admin.register(AuditEntry)
class AuditEntryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Show the audit log. Entries cannot be added, changed or deleted."""

    list_display = ["created_at", "event", "actor", "target", "address"]
    list_filter = ["event", "created_at"]
    search_fields = ["actor", "target", "organization_id", "target_id"]
    ordering = ["-created_at", "pk"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
