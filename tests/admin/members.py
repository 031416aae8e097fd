"""Form data and members for the tests of the organization's admin page."""

from __future__ import annotations

from http import HTTPStatus

from django.urls import reverse

from tests.factories import MembershipFactory, UserFactory

OWNER_NEEDED = "An organization must have at least one active Owner."


def join(organization, role, **user):
    return MembershipFactory.create(organization=organization, role=role, user=UserFactory.create(**user))


def model_page(instance, name, *args):
    """Return the URL of an admin page for the instance's model, for example the user model."""
    return reverse(f"admin:{instance._meta.app_label}_{instance._meta.model_name}_{name}", args=args)


def form_data(organization, changes=None, joins=(), members=None):
    """Return the form data with the roles of ``changes`` (``None``: delete) and new members, ``(user, role)``."""
    members = list(organization.memberships.all()) if members is None else members
    data = {
        "name": organization.name,
        "slug": organization.slug,
        "initial-user_keys_allowed": str(organization.user_keys_allowed),
        **({"user_keys_allowed": "on"} if organization.user_keys_allowed else {}),
        "memberships-TOTAL_FORMS": len(members) + len(joins),
        "memberships-INITIAL_FORMS": len(members),
    }
    for index, member in enumerate(members):
        role = (changes or {}).get(member, member.role)
        data |= {f"memberships-{index}-id": member.pk, f"memberships-{index}-organization": organization.pk}
        data |= {f"memberships-{index}-role": role or member.role}
        if role is None:
            data[f"memberships-{index}-DELETE"] = "on"
    for index, (user, role) in enumerate(joins, len(members)):
        data |= {f"memberships-{index}-user": user.pk, f"memberships-{index}-role": role}
    return data


def roles(organization):
    return {member.user.username: member.role for member in organization.memberships.select_related("user")}


def formset_errors(response):
    assert response.status_code == HTTPStatus.OK
    (inline,) = response.context["inline_admin_formsets"]
    errors = list(inline.formset.non_form_errors())
    assert all(error in response.content.decode() for error in errors)
    return errors
