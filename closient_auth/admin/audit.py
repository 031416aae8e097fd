from dataclasses import replace
from typing import Any

from django.contrib import admin
from django.db import router
from django.http import HttpRequest, HttpResponse

from closient_auth.actors import Actor, acting, get_actor
from closient_auth.models import AuditEntry


def get_staff(request: HttpRequest) -> Actor:
    """Return the actor of a request to the admin. Its site has already checked Django's permissions of the user."""
    return replace(get_actor(request), is_staff=True)


class AuditedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Record changes with the staff user as the actor, and read from the primary database instead of a replica."""

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).using(router.db_for_write(self.model))

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with acting(get_actor(request)):
            return super().changeform_view(request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with acting(get_actor(request)):
            return super().delete_view(request, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with acting(get_actor(request)):
            return super().changelist_view(request, *args, **kwargs)


@admin.register(AuditEntry)
class AuditEntryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["created_at", "event", "actor", "target", "address"]
    list_filter = ["event", "created_at"]
    search_fields = ["actor", "target", "organization_id", "target_id"]
    ordering = ["-created_at", "pk"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission
