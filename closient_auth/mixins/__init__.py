"""Keep a view to the rows of the request's organization."""

from closient_auth.mixins.organization import OrganizationMixin

__all__ = ["OrganizationMixin"]
