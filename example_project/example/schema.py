from __future__ import annotations

from typing import Any

from drf_spectacular import openapi
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from closient_auth.organizations import HEADER, URL_KWARG
from closient_auth.permissions import HasOrganizationPermission

REFUSALS = {
    "400": "The request is invalid, or does not name the organization.",
    "401": "The credential is missing or invalid.",
    "403": "The credential does not have permission.",
    "404": "The object does not exist, or belongs to another organization.",
    "429": "Too many requests.",
    "503": "The database or the rate limits are unavailable.",
}
ORGANIZATION = OpenApiParameter(
    HEADER,
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The id or slug of the organization. Required for members of several organizations.",
)


class AutoSchema(openapi.AutoSchema):
    """Add the organization header and the error responses to views with ``HasOrganizationPermission``."""

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
        # The URLs of the management API contain the organization.
        return f"{{{URL_KWARG}}}" not in self.path and any(
            isinstance(permission, HasOrganizationPermission) for permission in self.view.get_permissions()
        )
