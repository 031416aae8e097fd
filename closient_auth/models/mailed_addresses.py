"""Limit the invitations that one address gets, over all organizations.

The limit is in the database, and not in the cache: without the cache, everybody who may invite could send any number of
mails to a stranger.
"""

from __future__ import annotations

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.db import connections, models, router, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

# The most mails to one address in this period.
MAX_MAILS = 3
PERIOD = timedelta(days=1)
# Each mail deletes at most this many old rows, so that the table does not grow.
PRUNED_ROWS = 20


class MailedAddressManager(models.Manager["MailedAddress"]):
    def count_mail(self, address: str, using: str) -> None:
        """Count a mail to a folded address. Raise ``ValidationError`` if the address got ``MAX_MAILS`` in the ``PERIOD``.

        A mail is counted even if it cannot be sent: a mail server may report an error after it has accepted the mail. Call
        this in a transaction. Others who write to the address wait for its end.
        """
        now = timezone.now()
        row = self._lock(hash_address(address), using)
        recent = [moment for moment in row.sent_at if moment > (now - PERIOD).timestamp()]
        if len(recent) >= MAX_MAILS:
            message = _("This address has received several invitations. Try again tomorrow.")
            raise ValidationError(message, code="too_many_mails")
        row.sent_at, row.last_sent_at = [*recent, now.timestamp()], now
        row.save(using=using, update_fields=["sent_at", "last_sent_at"])
        transaction.on_commit(lambda: self.prune(PRUNED_ROWS), using=using, robust=True)

    def prune(self, limit: int | None = None) -> None:
        """Delete the rows that count no longer, or the oldest ``limit`` of them."""
        using = self._db or router.db_for_write(self.model)
        old = self.using(using).filter(last_sent_at__lt=timezone.now() - PERIOD)
        # One by one, as others may lock the same rows in another order. A row may have counted a mail since.
        for pk in list(old.order_by("last_sent_at").values_list("pk", flat=True)[:limit]):
            old.filter(pk=pk).delete()

    def forget(self, addresses: set[str], using: str) -> None:
        """Delete what is stored about these folded addresses."""
        self.using(using).filter(pk__in=[hash_address(address) for address in addresses]).delete()

    def _lock(self, hashed_address: str, using: str) -> MailedAddress:
        # One statement inserts and locks the row. After a failed INSERT, InnoDB would leave two senders with a shared lock
        # each, and both would wait for the other's.
        row = self.model(hashed_address=hashed_address, last_sent_at=timezone.now())
        names_columns = connections[using].features.supports_update_conflicts_with_target
        self.using(using).bulk_create(
            [row],
            update_conflicts=True,
            update_fields=["locked"],
            unique_fields=["hashed_address"] if names_columns else None,
        )
        # A plain read on InnoDB (REPEATABLE READ) would see the old snapshot of the transaction.
        return self.using(using).select_for_update().get(pk=hashed_address)


class MailedAddress(models.Model):
    """The times of the last invitations to one e-mail address, of which only a keyed hash is stored."""

    hashed_address = models.CharField(max_length=64, primary_key=True, editable=False)
    # Seconds since the epoch.
    sent_at = models.JSONField(_("sent at"), default=list)
    last_sent_at = models.DateTimeField(_("last sent at"), db_index=True)
    # The statement that locks a row has to write a column.
    locked = models.BooleanField(default=True, editable=False)

    objects = MailedAddressManager()

    class Meta:
        verbose_name = _("mailed address")
        verbose_name_plural = _("mailed addresses")

    def __str__(self) -> str:
        return self.hashed_address


def hash_address(address: str) -> str:
    """Return the hash of a folded address. Its key keeps those who read the database from trying all known addresses."""
    return salted_hmac("closient_auth.mailed_addresses", address, algorithm="sha256").hexdigest()
