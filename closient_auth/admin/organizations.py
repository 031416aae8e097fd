from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import display_for_field, unquote
from django.core.exceptions import ValidationError
from django.db import models, router, transaction
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.forms import BaseInlineFormSet, ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from closient_auth.actors import Actor
from closient_auth.admin.base import AuditedAdmin, get_staff
from closient_auth.admin.filters import SuspendedFilter
from closient_auth.admin.live_keys import warn_about_live_keys
from closient_auth.memberships import get_memberships, read_uuid
from closient_auth.models import ApiKey, Invitation, LastOwnerError, Membership, Organization
from closient_auth.models.addresses import get_address_field
from closient_auth.models.locks import lock_rows
from closient_auth.models.memberships import MEMBER_ALREADY
from closient_auth.models.people import get_full_name, has_active_user, with_users
from closient_auth.roles import Role, get_role_permissions, may_change_role

OWNER_NEEDED = _("An organization must have at least one active Owner.")
OWNERS_ONLY = _("Only an Owner can grant, change or remove the Owner role (%(user)s).")
NOT_ONESELF = _("You cannot raise your own role (%(user)s).")


class FixedWidget(forms.Widget):
    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> str:  # type: ignore[override]
        return format_html("<p>{}</p>", value)


class MembershipForm(ModelForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            # The row's user is already loaded. The default field would query it again for each member.
            self.initial["user"] = self.instance.user
            self.fields["user"] = forms.Field(label=self.fields["user"].label, disabled=True, widget=FixedWidget)

    def clean(self) -> None:
        super().clean()
        # A member added after the page loaded is not in the formset, so check the database for duplicates.
        members = Membership.objects.using(router.db_for_write(Membership)).filter(
            organization=self.instance.organization_id, user=self.cleaned_data.get("user")
        )
        if self.instance._state.adding and members.exists():
            self.add_error("user", ValidationError(MEMBER_ALREADY, code="unique"))


class MembershipFormSet(BaseInlineFormSet):  # type: ignore[type-arg]
    """Validate the members as they are after the save, so that one submit can replace the only Owner."""

    actor: Actor

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        member = form.instance
        for name, field in form.fields.items():
            # The heads of the columns are no labels for a screen reader.
            label = capfirst(str(field.label or name))
            field.widget.attrs["aria-label"] = label if member._state.adding else f"{label}: {member.user}"

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        changes = self.get_changes()
        posted = {form.instance.pk for form in self.forms}
        # Members added after the page loaded are not in the formset.
        others = [(member, member.role, member.role) for member in self.get_queryset() if member.pk not in posted]
        had_owner = any(old == Role.OWNER and has_active_user(member) for member, old, new in changes + others)
        has_owner = any(new == Role.OWNER and has_active_user(member) for member, old, new in changes + others)
        is_new = self.instance._state.adding
        if not has_owner and (had_owner or is_new):
            raise ValidationError(OWNER_NEEDED, code="last_owner")
        for member, old, new in [] if is_new else changes:
            own = self.actor.is_user(member.user_id)
            rank = self.instance.get_rank(self.actor, own=own) if old != new else None
            if old != new and not may_change_role(rank or "", old, new, own=own):
                message = OWNERS_ONLY if Role.OWNER in (old, new) else NOT_ONESELF
                raise ValidationError(message, code="owners_only", params={"user": member.user})

    def get_changes(self) -> list[tuple[Membership, str | None, str | None]]:
        """Return each membership with its old role (``None`` if added) and its new role (``None`` if deleted)."""
        changes: list[tuple[Membership, str | None, str | None]] = []
        for form in self.forms:
            old = None if form.instance._state.adding else form.initial["role"]
            new = None if form in self.deleted_forms else form.cleaned_data.get("role", old)
            changes.append((form.instance, old, new))
        return changes

    def get_weakened(self) -> list[Membership]:
        """Return the members who lose a permission, as ``Membership.change_role()`` and ``remove()`` judge it."""
        return [
            member
            for member, old, new in self.get_changes()
            if not get_role_permissions(old or "") <= get_role_permissions(new or "")
        ]


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Membership
    form = MembershipForm
    formset = MembershipFormSet
    fields = ["user", "full_name", "email", "role", "joined"]
    readonly_fields = ["full_name", "email", "joined"]
    # A list of all users would be too long.
    raw_id_fields = ["user"]
    ordering = ["created_at"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Membership]:
        members: models.QuerySet[Membership] = super().get_queryset(request).using(router.db_for_write(Membership))
        return with_users(members)  # type: ignore[no-any-return]

    @admin.display(description=_("full name"))
    def full_name(self, member: Membership) -> str:
        return get_full_name(member.user)

    @admin.display(description=_("e-mail"))
    def email(self, member: Membership) -> str:
        return str(getattr(member.user, get_address_field() or "", ""))

    @admin.display(description=_("joined"))
    def joined(self, member: Membership) -> str:
        return display_for_field(member.created_at, Membership._meta.get_field("created_at"), "-")

    def get_extra(self, request: HttpRequest, obj: Organization | None = None, **kwargs: Any) -> int:
        return 1 if obj is None else 0

    def get_formset(self, request: HttpRequest, obj: Organization | None = None, **kwargs: Any) -> Any:
        formset: Any = super().get_formset(request, obj, **kwargs)
        formset.actor = get_staff(request)
        return formset


class OrganizationForm(ModelForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if field := self.fields.get("user_keys_allowed"):
            # On an old page, what somebody else has changed since must not count as changed by this form.
            field.show_hidden_initial = True

    def clean(self) -> None:
        super().clean()
        if "user_keys_allowed" not in self.changed_data:
            # The row was read under its lock. The form has the value of an old page, or ``False`` without a check box.
            self.cleaned_data["user_keys_allowed"] = self.instance.user_keys_allowed


@admin.register(Organization)
class OrganizationAdmin(AuditedAdmin):
    form = OrganizationForm
    list_display = ["name", "slug", "created_at", "members", "api_keys", "suspended_at"]
    list_filter = [SuspendedFilter]
    search_fields = ["name", "slug"]
    ordering = ["name"]
    prepopulated_fields = {"slug": ["name"]}
    readonly_fields = ["id", "created_at", "suspended_at"]
    inlines = [MembershipInline]
    trail_filter = "organization"

    @admin.display(description=_("members"), ordering="member_count")
    def members(self, organization: Any) -> int:
        return int(organization.member_count)

    @admin.display(description=_("API keys"), ordering="api_key_count")
    def api_keys(self, organization: Any) -> int:
        return int(organization.api_key_count)

    def get_tools(self, request: HttpRequest, row: Organization) -> list[tuple[Any, str | None]]:
        team = _find_team(row)
        return [
            (_("API keys"), self.find_list(request, ApiKey, organization=row.pk)),
            (_("Invitations"), self.find_list(request, Invitation, organization=row.pk)),
            (capfirst(team._meta.verbose_name), self.find_page(request, team)) if team else ("", None),
        ]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(member_count=_count(Membership), api_key_count=_count(ApiKey))

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [name for name in super().get_list_display(request) if name != "members" or get_memberships().uses_roles]

    def get_inlines(self, request: HttpRequest, obj: Organization | None) -> Any:
        return super().get_inlines(request, obj) if get_memberships().uses_roles else []

    def get_readonly_fields(self, request: HttpRequest, obj: Organization | None = None) -> list[Any]:
        names = list(super().get_readonly_fields(request, obj))
        # The names are those of the project's teams.
        return names if get_memberships().uses_roles else ["name", "slug", *names]

    def get_prepopulated_fields(self, request: HttpRequest, obj: Organization | None = None) -> dict[str, Any]:
        return super().get_prepopulated_fields(request, obj) if get_memberships().uses_roles else {}

    def get_fields(self, request: HttpRequest, obj: Organization | None = None) -> list[Any]:
        names = ["name", "slug"]
        return names if obj is None else [*names, "user_keys_allowed", "suspended_at", "id", "created_at"]

    def get_urls(self) -> list[URLPattern]:
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        view = self.admin_site.admin_view
        lift = {"is_lifted": True}
        return [
            path("<path:object_id>/suspend/", view(self.suspension_view), name=f"{prefix}_suspend"),
            path("<path:object_id>/lift-suspension/", view(self.suspension_view), lift, f"{prefix}_lift_suspension"),
            *super().get_urls(),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        # A new organization needs an Owner, so staff must also be allowed to add memberships.
        may_add = super().has_add_permission(request) and request.user.has_perm("closient_auth.add_membership")
        return may_add and get_memberships().uses_roles

    def has_delete_permission(self, request: HttpRequest, obj: Organization | None = None) -> bool:
        # A team of the project would lose its organization. Deleting the team deletes it.
        return super().has_delete_permission(request, obj) and get_memberships().uses_roles

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        # Look before the save, which deletes memberships.
        weakened = [member for formset in formsets for member in formset.get_weakened()]
        organization = form.instance
        with organization.keep_owner():
            super().save_related(request, form, formsets, change)
        for member in weakened:
            live_keys = member.get_live_keys(router.db_for_write(ApiKey)).order_by("-created_at", "pk")
            filters = {"organization": organization.pk, "created_by": member.user_id, "state": "active"}
            warn_about_live_keys(self, request, str(member.user), list(live_keys), **filters)

    def suspension_view(self, request: HttpRequest, object_id: str, is_lifted: bool = False) -> HttpResponse:
        """Ask before a suspension or its end, and do it if the request is a POST."""
        organization = self.get_changeable(request, object_id)
        if request.method == "POST":
            self._suspend(request, organization, is_lifted)
            return self.redirect_to_row(request, organization.pk)
        using = router.db_for_write(ApiKey)
        # A project with members of its own may be unable to list them.
        members = get_memberships().find_users(organization)
        title = _("Lift suspension") if is_lifted else _("Suspend organization")
        context = {
            "organization": organization,
            "is_lifted": is_lifted,
            "member_count": None if members is None else members.count(),
            "key_count": organization.api_keys.using(using).active().count(),
            "user_key_count": ApiKey.objects.using(using).able_in(organization).count(),
        }
        return self.render_confirmation(request, "organization/suspension", title, organization, **context)

    def _suspend(self, request: HttpRequest, organization: Organization, is_lifted: bool) -> None:
        staff: Any = request.user
        with organization.keep_owner():
            organization.refresh_from_db(using=router.db_for_write(Organization), fields=["suspended_at"])
            old = organization.suspended_at
            if is_lifted:
                organization.lift_suspension(by=get_staff(request))
            else:
                organization.suspend(by=get_staff(request))
            if organization.suspended_at != old:
                text = gettext("Suspension lifted.") if is_lifted else gettext("Suspended.")
                LogEntry.objects.log_actions(staff.pk, [organization], CHANGE, text)
        message = _("The organization “%s” is suspended.")
        if is_lifted:
            message = _("The suspension of the organization “%s” is lifted.")
        self.message_user(request, message % organization, messages.SUCCESS)

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any) -> Any:
        pk = read_uuid(unquote(object_id or ""))
        if request.method != "POST" or pk is None:
            return super().changeform_view(request, object_id, *args, **kwargs)
        using = router.db_for_write(Organization)
        try:
            with transaction.atomic(using=using):
                # Lock the row before reading the members, so that the validated state is still current at the save.
                lock_rows(Organization, [pk], using)
                return super().changeform_view(request, object_id, *args, **kwargs)
        except LastOwnerError:
            # The form was valid, but an Owner was deactivated before it was saved. All changes were rolled back.
            self.message_user(request, OWNER_NEEDED, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())


def _find_team(organization: Organization) -> Any:
    """Return the row of the project that the organization stands for, or ``None``."""
    memberships = get_memberships()
    model = memberships.get_model()
    if model is None:
        return None
    rows = model._base_manager.using(router.db_for_write(model))
    return rows.filter(**{memberships.get_anchor_field() or "pk": organization.pk}).first()


def _count(model: type[models.Model]) -> Coalesce:
    # Use subqueries, because counting over two joins would multiply members by keys.
    rows = model._default_manager.filter(organization=OuterRef("pk")).order_by().values("organization")
    return Coalesce(Subquery(rows.annotate(total=Count("pk")).values("total")), 0)
