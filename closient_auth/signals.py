"""Signals for your own mails or logs: one for each audit event, sent after the commit.

Receivers get the model class as ``sender``, the ``AuditEntry`` as ``entry`` and a copy of the changed object as
``instance``. Django logs the exception of a failing receiver and calls the other receivers.
"""

from django.dispatch import Signal

organization_created = Signal()
organization_changed = Signal()
organization_deleted = Signal()
member_added = Signal()
member_changed = Signal()
member_removed = Signal()
invitation_created = Signal()
invitation_resent = Signal()
invitation_withdrawn = Signal()
invitation_accepted = Signal()
api_key_created = Signal()
api_key_changed = Signal()
api_key_rotated = Signal()
api_key_revoked = Signal()
