"""The models of the package; import them from here."""

from closient_auth.models.api_keys import ApiKey
from closient_auth.models.audit import AuditEntry
from closient_auth.models.invitations import Invitation
from closient_auth.models.mailed_addresses import MailedAddress
from closient_auth.models.memberships import Membership
from closient_auth.models.organizations import Organization
from closient_auth.models.ownership import LastOwnerError
from closient_auth.models.reminders import ExpiryReminder
from closient_auth.models.usage import ApiKeyUsage

__all__ = [
    "ApiKey",
    "ApiKeyUsage",
    "AuditEntry",
    "ExpiryReminder",
    "Invitation",
    "LastOwnerError",
    "MailedAddress",
    "Membership",
    "Organization",
]
