"""Refuse a request that the restrictions of its key do not allow."""

from django.http import HttpRequest

from closient_auth.core.client_address import find_client_address
from closient_auth.models import ApiKey
from closient_auth.models.restrictions import MalformedError, is_address_in, is_origin_in, read_permissions


def find_refusal(request: HttpRequest, api_key: ApiKey) -> str | None:
    """Return the code with which a request of an active key is refused whatever the view, or ``None``.

    Permissions and ``restricted_to`` depend on the view and its organization: see ``core.access``. A malformed restriction,
    which another program has written, refuses every request.
    """
    if api_key.organization is not None and api_key.organization.suspended_at is not None:
        return "organization_suspended"
    try:
        read_permissions(api_key.permissions)
    except MalformedError:
        return "permission_denied"
    try:
        # Most keys have no networks and origins; a value that is not a list is not equal to one.
        if api_key.allowed_networks != [] and not is_address_in(find_client_address(request), api_key.allowed_networks):
            return "network_not_allowed"
    except MalformedError:
        return "network_not_allowed"
    try:
        origins = (request.META.get("HTTP_ORIGIN"), request.META.get("HTTP_REFERER"))
        if api_key.allowed_origins != [] and not is_origin_in(*origins, api_key.allowed_origins):
            return "origin_not_allowed"
    except MalformedError:
        return "origin_not_allowed"
    return None
