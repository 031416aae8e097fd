from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import models, router
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from closient_auth.admin.base import LinkedAdmin
from closient_auth.admin.filters import ActorFilter, EventFilter, RowFilter, TrailFilter
from closient_auth.models import ApiKey, AuditEntry, Organization
from closient_auth.moments import format_exact, split_exact
from closient_auth.sentences import describe_in_text, find_model, get_changes

# The attribute of an entry with the addresses of the pages that the user may view, by the field that names the row.
PAGES = "_closient_auth_pages"


@admin.register(AuditEntry)
class AuditEntryAdmin(LinkedAdmin):
    list_display = ["listed_moment", "event", "listed_actor", "target", "listed_organization"]
    list_filter = [EventFilter, TrailFilter, ActorFilter, RowFilter, "created_at"]
    search_fields = ["actor", "target", "organization_id", "target_id"]
    ordering = ["-created_at", "pk"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission

    @admin.display(description=_("time"), ordering="created_at")
    def listed_moment(self, entry: AuditEntry) -> str:
        return format_html_join(
            "", '<span class="nowrap">{}</span> ', ((part,) for part in split_exact(entry.created_at))
        )

    @admin.display(description=_("time"))
    def moment(self, entry: AuditEntry) -> str:
        return format_exact(entry.created_at)

    @admin.display(description=_("actor"), ordering="actor")
    def listed_actor(self, entry: AuditEntry) -> str:
        actor: str = entry.actor
        if entry.user_id is not None:
            actor = format_html('<a href="?user={}">{}</a>', entry.user_id, actor)
        return format_html('{}<br><span class="quiet">{}</span>', actor, entry.address) if entry.address else actor

    @admin.display(description=_("organization"))
    def listed_organization(self, entry: Any) -> str:
        if entry.organization_id is None:
            return "-"
        # A deleted organization has no name.
        name = entry.organization_name or entry.organization_id
        return format_html('<a href="?organization={}">{}</a>', entry.organization_id, name)

    @admin.display(description=_("actor"))
    def shown_actor(self, entry: AuditEntry) -> str:
        actor = self._link(entry, "user", entry.actor)
        if entry.user_id is None:
            return actor
        trail = f"{self.reverse_page('changelist')}?user={entry.user_id}"
        return format_html('{} (<a href="{}">{}</a>)', actor, trail, gettext("all entries of this user"))

    @admin.display(description=_("with the API key"))
    def shown_key(self, entry: AuditEntry) -> str:
        return self._link(entry, "api_key_id", entry.api_key_id)

    @admin.display(description=_("organization"))
    def shown_organization(self, entry: Any) -> str:
        return self._link(entry, "organization_id", entry.organization_name or entry.organization_id)

    @admin.display(description=_("target"))
    def shown_target(self, entry: AuditEntry) -> str:
        model = find_model(entry)
        kind = capfirst(model._meta.verbose_name) if model else entry.target_model
        return format_html("{} {}", kind, self._link(entry, "target_id", entry.target or entry.target_id))

    @admin.display(description=_("changes"))
    def changes(self, entry: AuditEntry) -> str:
        context = {"changes": get_changes(entry), "has_old": entry.old_values, "has_new": entry.new_values}
        return render_to_string("admin/closient_auth/auditentry/changes.html", context) if context["changes"] else "-"

    def get_queryset(self, request: HttpRequest) -> Any:
        organizations = Organization.objects.filter(pk=OuterRef("organization_id"))
        return super().get_queryset(request).annotate(organization_name=Subquery(organizations.values("name")))

    def get_fields(self, request: HttpRequest, obj: AuditEntry | None = None) -> list[Any]:
        names = ["moment", "event", "shown_actor", "address", "shown_organization", "shown_target", "changes"]
        if obj is not None and obj.api_key_id is not None:
            names.insert(names.index("address"), "shown_key")
        return names

    def get_readonly_fields(self, request: HttpRequest, obj: AuditEntry | None = None) -> list[Any]:
        return self.get_fields(request, obj)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        entry = super().get_object(request, object_id, from_field)
        if entry is not None:
            rows: dict[str, type[models.Model] | None] = {
                "user": get_user_model(),
                "api_key_id": ApiKey,
                "organization_id": Organization,
                "target_id": find_model(entry),
            }
            setattr(entry, PAGES, {name: self._find(request, entry, name, model) for name, model in rows.items()})
        return entry

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        # An entry has no history, but its target has.
        context["trail_url"] = self.find_list(request, AuditEntry, row=context["original"].target_id)
        context["subtitle"] = describe_in_text(context["original"])
        return super().render_change_form(request, context, *args, **kwargs)

    def _find(self, request: HttpRequest, entry: AuditEntry, name: str, model: type[models.Model] | None) -> str | None:
        """Return the address of a row that the entry names, or ``None`` if it was deleted or has no page."""
        pk = entry.user_id if name == "user" else getattr(entry, name)
        if pk is None or model in (None, AuditEntry):
            return None
        row = model._base_manager.using(router.db_for_write(model)).filter(pk=pk).first()
        return None if row is None else self.find_page(request, row)

    def _link(self, entry: AuditEntry, name: str, text: Any) -> str:
        address = getattr(entry, PAGES)[name]
        return str(text or "-") if address is None else format_html('<a href="{}">{}</a>', address, text)
