from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet, TextChoices
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from closient_auth.conf import conf
from closient_auth.memberships import read_uuid
from closient_auth.models import Organization
from closient_auth.models.api_keys import ApiKeyQuerySet, KeyState
from closient_auth.models.audit import AuditEntryQuerySet, Event
from closient_auth.models.invitations import InvitationState

EXPIRING = timedelta(days=14)
# By the beginning of their values: the events of a group. Both signs of a leak come first.
EVENT_GROUPS = {
    Event.REVOKED_API_KEY_USED.value: _("Signs of a leak"),
    Event.API_KEY_USED_IN_BROWSER.value: _("Signs of a leak"),
    "api_key_": _("API keys"),
    "member_": _("Members"),
    "invitation_": _("Invitations"),
    "organization_": _("Organizations"),
}
OTHER_EVENTS = _("Other events")


class StateFilter(admin.SimpleListFilter):
    """Find the keys in a state."""

    title = _("state")
    parameter_name = "state"
    states: type[TextChoices] = KeyState

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, Any]]:
        return self.states.choices

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        state = self.value()
        return queryset.in_state(state) if state in self.states.values else queryset


class InvitationStateFilter(StateFilter):
    states = InvitationState


class ReviewFilter(admin.SimpleListFilter):
    """Find the active keys that somebody should look at."""

    title = _("review")
    parameter_name = "review"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, Any]]:
        expiring = _("Expiring in %d days") % EXPIRING.days
        return [("never_used", _("Never used")), ("expiring", expiring)]

    def queryset(self, request: HttpRequest, queryset: ApiKeyQuerySet) -> ApiKeyQuerySet:  # type: ignore[override]
        if self.value() == "never_used":
            return queryset.active().filter(last_used__isnull=True)
        if self.value() == "expiring":
            # A rotated key has a successor, so its end is no surprise.
            soon = queryset.active().filter(expires_at__lte=timezone.now() + EXPIRING)
            return soon.filter(successor__isnull=True)
        return queryset


class LifetimeFilter(admin.SimpleListFilter):
    """Find the keys that people could not create today. Without ``MAX_KEY_LIFETIME_DAYS``, the filter is not shown."""

    title = _("lifetime")
    parameter_name = "lifetime"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, Any]]:
        return [("beyond", _("Beyond the policy"))] if conf.MAX_KEY_LIFETIME_DAYS else []

    def queryset(self, request: HttpRequest, queryset: ApiKeyQuerySet) -> ApiKeyQuerySet:  # type: ignore[override]
        return queryset.beyond_policy() if self.value() == "beyond" else queryset


class SuspendedFilter(admin.SimpleListFilter):
    title = _("suspended")
    parameter_name = "suspended"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, Any]]:
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Organization]) -> QuerySet[Organization]:
        value = self.value()
        return queryset.filter(suspended_at__isnull=value == "no") if value in ("yes", "no") else queryset


class TextFilter(admin.SimpleListFilter):
    """Filter rows by a typed text, because a list of all values would be too long."""

    template = "admin/closient_auth/text_filter.html"
    placeholder: Any
    # Returns the rows of a queryset that match the typed text.
    find: Callable[[Any, str], Any]

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, Any]]:
        return []

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        # The parameters keep the other filters.
        yield {
            "query_string": changelist.get_query_string(remove=[str(self.parameter_name)]),
            "parameters": [pair for pair in changelist.params.items() if pair[0] != self.parameter_name],
        }

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        text = (self.value() or "").strip()
        if not text:
            return queryset
        # PostgreSQL refuses this character in a query.
        return queryset.none() if "\x00" in text else self.find(queryset, text)


class OrganizationFilter(TextFilter):
    title = _("organization")
    parameter_name = "organization"
    placeholder = _("Slug or ID")

    def find(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        return queryset.filter(organization__in=Organization.objects.named(text))


class TrailFilter(TextFilter):
    """Find the audit entries of an organization, also of a deleted one."""

    title = _("organization")
    parameter_name = "organization"
    placeholder = _("Slug or ID")

    def find(self, queryset: AuditEntryQuerySet, text: str) -> AuditEntryQuerySet:
        if uuid := read_uuid(text):
            return queryset.filter(organization_id=uuid)
        return queryset.filter(organization_id__in=Organization.objects.named(text).values("pk"))


class RowFilter(TextFilter):
    """Find the audit entries about a row. For an API key, these include the changes made with the key."""

    title = _("object")
    parameter_name = "row"
    placeholder = _("ID of a key or another object")

    def find(self, queryset: AuditEntryQuerySet, text: str) -> AuditEntryQuerySet:
        uuid = read_uuid(text)
        return queryset.filter(Q(target_id=uuid) | Q(api_key_id=uuid)) if uuid else queryset.none()


class EventFilter(TextFilter):
    """Filter audit entries by their event. A list of links would be too long."""

    template = "admin/closient_auth/auditentry/event_filter.html"
    title = _("event")
    parameter_name = "event__exact"

    def find(self, queryset: AuditEntryQuerySet, text: str) -> AuditEntryQuerySet:
        return queryset.filter(event=text)

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        groups: dict[Any, list[Event]] = {group: [] for group in (*EVENT_GROUPS.values(), OTHER_EVENTS)}
        for event in Event:
            prefix = next((prefix for prefix in EVENT_GROUPS if event.startswith(prefix)), None)
            groups[EVENT_GROUPS[prefix] if prefix else OTHER_EVENTS].append(event)
        yield next(super().choices(changelist)) | {"groups": groups}


class PersonFilter(TextFilter):
    """Find the rows that name a user in a field."""

    placeholder = _("Username or ID")
    field: str

    def find(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        user_model = get_user_model()
        matches = Q(**{user_model.USERNAME_FIELD: text})
        with suppress(ValidationError):
            matches |= Q(pk=user_model._meta.pk.to_python(text))
        # With a join instead, databases would read all rows of the audit log.
        return queryset.filter(**{f"{self.field}__in": user_model._base_manager.filter(matches)})


class InviterFilter(PersonFilter):
    title = _("inviter")
    parameter_name = field = "invited_by"


class MakerFilter(PersonFilter):
    """Find the keys that a person created."""

    title = _("creator")
    parameter_name = field = "created_by"


class ActorFilter(PersonFilter):
    """Find the audit entries of what a person did."""

    title = _("user")
    parameter_name = field = "user"
