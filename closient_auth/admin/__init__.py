from closient_auth.admin.api_keys import ApiKeyAdmin
from closient_auth.admin.audit import AuditEntryAdmin
from closient_auth.admin.invitations import InvitationAdmin
from closient_auth.admin.live_keys import LiveKeysMixin
from closient_auth.admin.organizations import OrganizationAdmin

__all__ = ["ApiKeyAdmin", "AuditEntryAdmin", "InvitationAdmin", "LiveKeysMixin", "OrganizationAdmin"]
