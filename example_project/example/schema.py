from __future__ import annotations

from typing import Any

from drf_spectacular import openapi
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from closient_auth.organizations import HEADER, URL_KWARG
from closient_auth.permissions import HasOrganizationPermission

REFUSALS = {
    "400": "What was sent cannot be, or does not say which organization.",
    "401": "No credential, or one that is not good.",
    "403": "The credential may not do this.",
    "404": "Nothing here for this credential.",
    "429": "Too many requests.",
    "503": "The database is away, or the limits cannot be counted.",
}
ORGANIZATION = OpenApiParameter(
    HEADER,
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The id or slug of the organization, for who is a member of several.",
)


class AutoSchema(openapi.AutoSchema):
    """Describes for the views with an organization what drf-spectacular does not see: its header, and the refusals."""

    def get_override_parameters(self) -> list[Any]:
        return [*super().get_override_parameters(), *([ORGANIZATION] if self.is_scoped() else [])]

    def _get_response_bodies(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        responses = super()._get_response_bodies(*args, **kwargs)
        if self.is_scoped():
            for status, description in REFUSALS.items():
                responses[status] = {
                    "content": {"application/json": {"schema": {"type": "object"}}},
                    "description": description,
                }
        return responses

    def is_scoped(self) -> bool:
        # The paths of the management API say which organization.
        return f"{{{URL_KWARG}}}" not in self.path and any(
            isinstance(permission, HasOrganizationPermission) for permission in self.view.get_permissions()
        )
