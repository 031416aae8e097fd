"""Refuse a request that the restrictions of its key do not allow."""

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from closient_auth.core.client_address import find_client_address
from closient_auth.core.refusals import Refused
from closient_auth.models import ApiKey
from closient_auth.models.restrictions import MalformedError, is_address_in, is_origin_in, read_ids, read_permissions

# The attribute of a REST framework view that takes keys in spite of their restrictions.
UNRESTRICTED = "closient_auth_unrestricted"


def find_refusal(request: HttpRequest, api_key: ApiKey) -> Refused | None:
    """Return the refusal of a request of an active key, whatever its view, or ``None``.

    Permissions and ``restricted_to`` depend on the view and its organization: see ``core.access``. A malformed restriction,
    which another program has written, refuses every request.
    """
    if api_key.organization is not None and api_key.organization.suspended_at is not None:
        return Refused("organization_suspended")
    try:
        read_permissions(api_key.permissions)
        read_ids(api_key.shut_out_of)
    except MalformedError:
        return Refused("permission_denied")
    # Most keys have no networks and origins; a value that is not a list is not equal to one.
    if api_key.allowed_networks != [] and not _is_network_allowed(request, api_key):
        address = find_client_address(request)
        # Whoever has moved, or sits behind a proxy that nobody has counted, has to know the address.
        return Refused(
            "network_not_allowed", address and _("This API key cannot be used from your address, %s.") % address
        )
    if api_key.allowed_origins != [] and not _is_origin_allowed(request, api_key):
        return Refused("origin_not_allowed")
    return None


def _is_network_allowed(request: HttpRequest, api_key: ApiKey) -> bool:
    try:
        return is_address_in(find_client_address(request), api_key.allowed_networks)
    except MalformedError:
        return False


def _is_origin_allowed(request: HttpRequest, api_key: ApiKey) -> bool:
    try:
        return is_origin_in(request.META.get("HTTP_ORIGIN"), request.META.get("HTTP_REFERER"), api_key.allowed_origins)
    except MalformedError:
        return False
