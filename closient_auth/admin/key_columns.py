"""What the admin shows of an API key: the columns of the list, and the read-only fields of the page."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db import router
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from closient_auth.admin.base import AuditedAdmin
from closient_auth.forms import get_permission_label, list_texts
from closient_auth.memberships import read_uuid
from closient_auth.models import ApiKey, Organization
from closient_auth.models.api_keys import KeyState
from closient_auth.moments import format_exact, show_expiry, show_moment


class KeyColumns(AuditedAdmin):
    @admin.display(description=_("name"), ordering="name")
    def label(self, api_key: ApiKey) -> str:
        return api_key.name or format_html('<span class="quiet">{}</span>', gettext("No name"))

    @admin.display(description=_("key"), ordering="hint")
    def masked_key(self, api_key: ApiKey) -> str:
        return f"{api_key.prefix}_{api_key.hint}…"

    @admin.display(description=_("key"), ordering="hint")
    def key_and_type(self, api_key: ApiKey) -> str:
        text = '<code>{}</code><br><span class="quiet">{}</span>'
        return format_html(text, self.masked_key(api_key), api_key.get_prefix_display())

    @admin.display(description=_("holder"))
    def holder(self, api_key: ApiKey) -> str:
        return str(api_key.organization or api_key.user)

    @admin.display(description=_("state"))
    def state(self, api_key: ApiKey) -> str:
        state, organization, notes = api_key.state, api_key.organization, []
        # In its grace period, a rotated key is still active.
        if state == KeyState.ACTIVE and hasattr(api_key, "successor"):
            notes.append(gettext("rotated"))
        if state == KeyState.ACTIVE and organization is not None and organization.suspended_at is not None:
            notes.append(gettext("organization suspended"))
        badge = show_badge(state, state.label)
        return format_html("{} ({})", badge, ", ".join(notes)) if notes else badge

    @admin.display(description=_("last used"), ordering="last_used")
    def used(self, api_key: ApiKey) -> str:
        return show_moment(api_key.last_used, gettext("Never"))

    @admin.display(description=_("last used"))
    def shown_use(self, api_key: ApiKey) -> str:
        used = self.used(api_key)
        return used if api_key.last_used is None else format_html("{} ({})", used, format_exact(api_key.last_used))

    @admin.display(description=_("expires"), ordering="expires_at")
    def expiry(self, api_key: ApiKey) -> str:
        return show_expiry(api_key.expires_at, gettext("Never"))

    @admin.display(description=_("rotated to"))
    def rotated_to(self, api_key: ApiKey) -> str:
        # Without a successor, the admin shows the empty value for the error of this attribute.
        successor = api_key.successor
        return format_html('<a href="{}">{}</a>', self.reverse_page("change", successor.pk), successor)

    @admin.display(description=_("permissions"))
    def shown_permissions(self, api_key: ApiKey) -> str:
        if api_key.permissions is None:
            return gettext("All")
        return _show_lines(map(get_permission_label, list_texts(api_key.permissions))) or pgettext(
            "no permissions", "None"
        )

    @admin.display(description=_("allowed networks"))
    def shown_networks(self, api_key: ApiKey) -> str:
        return _show_lines(list_texts(api_key.allowed_networks)) or gettext("All")

    @admin.display(description=_("allowed origins"))
    def shown_origins(self, api_key: ApiKey) -> str:
        return _show_lines(list_texts(api_key.allowed_origins)) or gettext("All")

    @admin.display(description=_("shut out of"))
    def shut_out(self, api_key: ApiKey) -> str:
        ids = list_texts(api_key.shut_out_of)
        organizations = Organization.objects.using(router.db_for_write(Organization))
        found = organizations.filter(pk__in=[uuid for text in ids if (uuid := read_uuid(text))])
        names = {str(pk): name for pk, name in found.values_list("pk", "name")}
        # A deleted organization has no name.
        return _show_lines(sorted(names.get(text, text) for text in ids))

    def describe(self, api_key: ApiKey) -> dict[str, Any]:
        """Return what a page shows that asks before a change of this key."""
        holder, last_used, expiry = self.holder(api_key), self.used(api_key), self.expiry(api_key)
        return {"api_key": api_key, "holder": holder, "last_used": last_used, "expiry": expiry}


def show_badge(state: str, label: Any) -> str:
    """Return a state as a coloured word."""
    return format_html('<span class="badge badge-{}">{}</span>', state, label)


def _show_lines(texts: Iterable[str]) -> str:
    return format_html_join(mark_safe("<br>"), "{}", ((text,) for text in texts))
