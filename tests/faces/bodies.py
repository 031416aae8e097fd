"""What the views of every face do: report the request, or raise an error."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from asgiref.sync import async_to_sync
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404

from closient_auth.models import ApiKey
from closient_auth.organizations import aget_access, aget_organization, get_access, get_organization
from closient_auth.roles import Permission

BILLING = Permission.MANAGE_BILLING
# A view of Django raises these to end a request. Other frameworks have their own.
ERRORS: dict[int, type[Exception]] = {400: BadRequest, 403: PermissionDenied, 404: Http404}


def describe(request: Any) -> dict[str, Any]:
    """Return the user, key and organization of the request, in every way in which a view can ask for them."""
    django_request = getattr(request, "_request", request)
    auser = async_to_sync(django_request.auser)()
    body = _describe(request, auser, get_organization(request), get_access(request))
    if asked := django_request.GET.get("has_perm"):
        body["has_perm"] = auser.has_perm(asked, get_organization(request))
    return body


async def adescribe(request: Any) -> dict[str, Any]:
    """Return the same as ``describe()`` in an async view."""
    django_request = getattr(request, "_request", request)
    auser = await django_request.auser()
    body = _describe(request, auser, await aget_organization(request), await aget_access(request))
    if asked := django_request.GET.get("has_perm"):
        body["has_perm"] = await auser.ahas_perm(asked, get_organization(request))
    return body


def _describe(request: Any, auser: Any, organization: Any, access: Any) -> dict[str, Any]:
    django_request = getattr(request, "_request", request)
    organizations = {organization, access.organization, get_organization(request), get_organization(django_request)}
    users = {str(user.pk) for user in (request.user, django_request.user, auser)}
    auths = {getattr(each, "auth", None) for each in (request, django_request)}
    return {
        "users": sorted(users),
        "keys": sorted(str(auth.pk) for auth in auths if isinstance(auth, ApiKey)),
        "organizations": sorted(organization.slug for organization in organizations),
        "may_bill": access.allows(BILLING),
        # A cached response would have an earlier one.
        "fresh": uuid4().hex,
    }
