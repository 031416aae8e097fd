"""
What happened, for hosts that mail or log elsewhere: one signal for each event, sent after the commit.

Receivers get the class of the row as ``sender``, the ``AuditEntry`` as ``entry`` and a copy of the row, as it was then,
as ``instance``. One that fails is logged by Django and stops nothing.
"""

from __future__ import annotations

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
