"""The members of an organization: their roles, their keys, and their removal."""

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import cached_property
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from closient_auth.dashboard.frame import FormPage, OrganizationPage
from closient_auth.forms import get_permission_label
from closient_auth.memberships import read_uuid
from closient_auth.models import ApiKey, Membership
from closient_auth.models.addresses import get_address_field
from closient_auth.models.memberships import Offboarding
from closient_auth.models.people import get_person_name, has_inactive_user
from closient_auth.roles import (
    Permission,
    Role,
    get_all_permissions,
    get_role_permissions,
    may_change_role,
    sort_permissions,
)


class MembersFilter(forms.Form):
    q = forms.CharField(label=_("Name or e-mail"), max_length=255, required=False, widget=forms.SearchInput)
    role = forms.ChoiceField(label=_("Role"), choices=[("", _("All roles")), *Role.choices], required=False)


class RoleForm(forms.Form):
    role = forms.ChoiceField(label=_("Role"))

    def __init__(self, *args: Any, roles: Iterable[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = [(role.value, role.label) for role in roles]  # type: ignore[attr-defined]


class ApiKeysField(forms.MultipleChoiceField):
    """Check boxes for keys. The model checks the ids: it knows whether the preview with the key is out of date."""

    widget = forms.CheckboxSelectMultiple

    def clean(self, value: Any) -> set[UUID]:
        ids = {read_uuid(text) for text in self.to_python(value)}
        if None in ids:
            raise ValidationError(_("Choose keys of the list."), code="invalid")
        return {pk for pk in ids if pk}


class RemovalForm(forms.Form):
    revoke_keys = ApiKeysField(required=False)
    # The preview that the user has seen, and "" for none.
    shown = forms.CharField(required=False, widget=forms.HiddenInput)


class MemberPages(OrganizationPage):
    """What the pages about members share."""

    tab = "members"
    needs_roles = True

    def get_queryset(self) -> QuerySet[Membership]:
        # The page after a change shows the change, also if a replica lags.
        memberships = Membership.objects.using(router.db_for_write(Membership)).filter(organization=self.organization)
        return memberships.select_related("user", "organization").order_by("created_at", "pk")

    @cached_property
    def last_owner(self) -> Any:
        """The primary key of the membership that the rule of the last Owner protects, or ``None``."""
        owners = self.get_queryset().filter(role=Role.OWNER)
        pks = list(owners.exclude(has_inactive_user(owners)).values_list("pk", flat=True)[:2])
        return pks[0] if len(pks) == 1 else None

    @cached_property
    def member(self) -> Membership:
        """The member in the URL."""
        found: Membership = self.find(self.get_queryset(), self.kwargs["pk"])
        return found

    def is_own(self, member: Membership) -> bool:
        return bool(member.user_id == self.request.user.pk)

    def may_change(self, member: Membership, role: str | None) -> bool:
        """Return whether the user may give the member this role, or remove the member (``None``)."""
        return may_change_role(self.rank, member.role, role, own=self.is_own(member))

    def get_roles(self, member: Membership) -> list[Role]:
        """Return the roles that the user may give the member, with the present one."""
        return [role for role in Role if role == member.role or self.may_change(member, role)]

    def describe(self, member: Membership) -> dict[str, Any]:
        """Return what the pages show of a member."""
        field, username = get_address_field(), member.user.get_username()
        email = getattr(member.user, field) if field else ""
        is_own, is_last = self.is_own(member), member.pk == self.last_owner
        name, roles = get_person_name(member.user), self.get_roles(member)
        return {
            "member": member,
            "name": name,
            "about": " · ".join(text for text in dict.fromkeys((username, email)) if text and text != name),
            "is_own": is_own,
            "is_last_owner": is_last,
            "roles": roles,
            # People change other people's roles: nobody loses the pages by a slip on the own row.
            "may_change": not is_own and not is_last and len(roles) > 1,
            "may_remove": self.may_change(member, None),
        }


class MembersPage(MemberPages):
    title = _("Members")
    template_name = "closient_auth/dashboard/members.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        form = MembersFilter(self.request.GET)
        # An unknown value filters nothing, and the form says so.
        found = form.cleaned_data if form.is_valid() else {}
        members: Any = self.get_queryset()
        total = members.count()
        members = members.matching(found.get("q", ""))
        if role := found.get("role"):
            members = members.filter(role=role)
        rows = self.paginate(members)
        counts = self.count_keys(rows.object_list)
        return super().get_context_data(
            rows=rows,
            people=[{**self.describe(member), "keys": counts.get(member.user_id, 0)} for member in rows],
            total=total,
            filter=form,
            is_filtered=any(found.values()),
            **describe_roles(),
            **kwargs,
        )

    def count_keys(self, members: Iterable[Membership]) -> dict[Any, int]:
        """Return the number of the organization's active keys by the primary key of the member who made them."""
        if not self.allows(Permission.MANAGE_API_KEYS):
            return {}
        keys = ApiKey.objects.filter(organization=self.organization).active()
        keys = keys.filter(created_by__in=[member.user_id for member in members])
        return dict(keys.order_by().values_list("created_by").annotate(Count("pk")))


class MemberPage(FormPage, MemberPages):
    """The role of a member, and the live keys that the member has made. Whoever demotes a member comes here."""

    title = _("Role")
    permission = Permission.MANAGE_MEMBERS
    kind = "member"
    template_name = "closient_auth/dashboard/member.html"

    def get_form(self, form_class: Any = None) -> RoleForm:
        return RoleForm(**self.get_form_kwargs(), roles=self.get_roles(self.member), initial={"role": self.member.role})

    def get_form_kwargs(self) -> dict[str, Any]:
        kwargs = super().get_form_kwargs()
        del kwargs["initial"]
        return kwargs

    def save(self, form: RoleForm) -> HttpResponseBase:
        member, name = self.member, get_person_name(self.member.user)
        live_keys = member.change_role(form.cleaned_data["role"], by=self.actor)
        text = gettext("%(name)s has the role %(role)s now.") % {"name": name, "role": member.get_role_display()}
        # Those who have demoted themselves may not see this page any more.
        if self.is_own(member) or not self.allows(Permission.MANAGE_API_KEYS) or not (number := live_keys.count()):
            return self.redirect("members", text)
        return self.redirect("member-role", f"{text} {describe_live_keys(number)}", pk=member.pk)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        shown = self.describe(self.member)
        may_see_keys = self.allows(Permission.MANAGE_API_KEYS)
        live_keys = self.member.preview_offboarding().live_keys if may_see_keys else []
        return super().get_context_data(
            **{"title": shown["name"], "cancel_url": self.get_url("members")},
            **shown,
            live_keys=live_keys,
            may_see_keys=may_see_keys,
            **describe_roles(),
            **kwargs,
        )


class OffboardingPage(FormPage, MemberPages):
    """End a membership: the page shows first what that ends, and what it leaves for a decision."""

    form_class = RemovalForm
    is_dangerous = True
    template_name = "closient_auth/dashboard/member_remove.html"

    # The response after the end of the membership, with the text about its keys.
    finish: Callable[[str], HttpResponseBase]

    def enter(self) -> None:
        super().enter()
        if not self.may_change(self.member, None):
            raise PermissionDenied(gettext("Your role does not allow this change to members."))

    @cached_property
    def preview(self) -> Offboarding | None:
        """What the removal ends, or ``None`` for those who may not see keys."""
        return self.member.preview_offboarding() if self.allows(Permission.MANAGE_API_KEYS) else None

    def save(self, form: RemovalForm) -> HttpResponseBase:
        may_see_keys, revoked = self.allows(Permission.MANAGE_API_KEYS), form.cleaned_data["revoke_keys"]
        try:
            live_keys = self.member.remove(
                by=self.actor,
                revoke_keys=revoked,
                shown=form.cleaned_data["shown"] if may_see_keys else None,
            )
        except ValidationError as error:
            if getattr(error, "code", "") != "offboarding_changed":
                raise
            changed = _("Something changed while you were reading. Look at it again, and then confirm.")
            raise ValidationError(changed, code="offboarding_changed") from error
        texts = []
        if number := len(revoked):
            texts.append(ngettext("%d key is revoked.", "%d keys are revoked.", number) % number)
        if may_see_keys and not self.is_own(self.member) and (number := live_keys.count()):
            texts.append(describe_live_keys(number))
        return self.finish(" ".join(texts))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        checked = self.request.POST.getlist("revoke_keys")
        live_keys = self.preview.live_keys if self.preview else []
        return super().get_context_data(
            **{"cancel_url": self.get_url("members"), "preview": self.preview, "ends": self.preview, **kwargs},
            **self.describe(self.member),
            live_keys=[{"key": api_key, "is_checked": str(api_key.pk) in checked} for api_key in live_keys],
        )


class RemovePage(OffboardingPage):
    """Remove a member. For oneself, this leads to the page for leaving."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self.redirect("leave") if self.is_own(self.member) else super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self.redirect("leave") if self.is_own(self.member) else super().post(request, *args, **kwargs)

    def finish(self, text: str) -> HttpResponseBase:
        name = get_person_name(self.member.user)
        return self.redirect("members", f"{gettext('%s is no longer a member.') % name} {text}".rstrip())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        title = gettext("Remove %s") % get_person_name(self.member.user)
        return super().get_context_data(**{"title": title, "button": title, **kwargs})


class LeavePage(OffboardingPage):
    title = _("Leave the organization")
    button = _("Leave the organization")

    @cached_property
    def member(self) -> Membership:
        # A superuser who is no member gets the 404 of ``DoesNotExist``.
        return self.get_queryset().get(user=self.request.user.pk)

    def finish(self, text: str) -> HttpResponseBase:
        name = self.organization.name
        return self.redirect("home", f"{gettext('You have left %s.') % name} {text}".rstrip(), organization=None)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        # These are the user's own, whatever the user may see of the organization's keys.
        return super().get_context_data(**{"ends": self.preview or self.member.preview_offboarding(), **kwargs})


def describe_live_keys(number: int) -> str:
    text = ngettext(
        "%d active key that they have created keeps working.",
        "%d active keys that they have created keep working.",
        number,
    )
    return text % number


def describe_roles() -> dict[str, Any]:
    """Return the table of roles and their permissions for the pages, with the permissions of the project."""
    return {
        "all_roles": list(Role),
        "role_table": [
            {
                "permission": get_permission_label(name),
                "cells": [{"role": role.label, "has": name in get_role_permissions(role)} for role in Role],
            }
            for name in sort_permissions(get_all_permissions())
        ],
    }
