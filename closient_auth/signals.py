"""Signals for your own mails or logs.

There is one for each audit event, sent after the commit. Receivers get the model class as ``sender``, the ``AuditEntry`` as
``entry`` and a copy of the changed object as ``instance``. For ``audit_pruned`` and ``user_forgotten``, which change no
single object, this is the entry.

``api_key_refused`` is sent when the refusal of a known key is logged: at most once a minute for each key and cause, in each
process. Receivers get ``ApiKey`` as ``sender``, the ``api_key``, the ``cause`` and Django's ``request``.

Django logs the exception of a failing receiver and calls the other receivers.
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
invitation_declined = Signal()
api_key_created = Signal()
api_key_changed = Signal()
api_key_rotated = Signal()
api_key_revoked = Signal()
api_key_shut_out = Signal()
api_key_let_in = Signal()
revoked_api_key_used = Signal()
api_key_used_in_browser = Signal()
audit_pruned = Signal()
user_forgotten = Signal()

api_key_refused = Signal()
