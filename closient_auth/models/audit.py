"""The audit log: one entry for each change, written in the transaction of the change."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import copy
from datetime import datetime
from typing import Any, ClassVar, NoReturn, Self, TypeAlias
from uuid import UUID, uuid4

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from closient_auth import signals
from closient_auth.models.actors import acting, current_actor

# The attribute with the values of the guarded fields that an instance was loaded with.
GUARDED = "_closient_auth_guarded"

_Values: TypeAlias = Mapping[str, Any] | None

BATCH_SIZE = 1000


class Event(models.TextChoices):
    """The event of an audit entry; its value is also the name of a signal in ``closient_auth.signals``."""

    ORGANIZATION_CREATED = "organization_created", _("Organization created")
    ORGANIZATION_CHANGED = "organization_changed", _("Organization changed")
    ORGANIZATION_DELETED = "organization_deleted", _("Organization deleted")
    MEMBER_ADDED = "member_added", _("Member added")
    MEMBER_CHANGED = "member_changed", _("Member changed")
    MEMBER_REMOVED = "member_removed", _("Member removed")
    INVITATION_CREATED = "invitation_created", _("Invitation created")
    INVITATION_RESENT = "invitation_resent", _("Invitation resent")
    INVITATION_WITHDRAWN = "invitation_withdrawn", _("Invitation withdrawn")
    INVITATION_ACCEPTED = "invitation_accepted", _("Invitation accepted")
    INVITATION_DECLINED = "invitation_declined", _("Invitation declined")
    API_KEY_CREATED = "api_key_created", _("API key created")
    API_KEY_CHANGED = "api_key_changed", _("API key changed")
    API_KEY_ROTATED = "api_key_rotated", _("API key rotated")
    API_KEY_REVOKED = "api_key_revoked", _("API key revoked")
    API_KEY_SHUT_OUT = "api_key_shut_out", _("User key shut out")
    API_KEY_LET_IN = "api_key_let_in", _("User key let in")
    REVOKED_API_KEY_USED = "revoked_api_key_used", _("Revoked API key used")
    API_KEY_USED_IN_BROWSER = "api_key_used_in_browser", _("Secret API key used in a browser")
    AUDIT_PRUNED = "audit_pruned", _("Audit log pruned")
    USER_FORGOTTEN = "user_forgotten", _("User forgotten")


class AuditJSONEncoder(DjangoJSONEncoder):
    """Encode any value, such as the primary key of a custom user model (``ULID``, ``Hashid``), at least as text."""

    def default(self, o: Any) -> Any:
        try:
            return super().default(o)
        except TypeError:
            return str(o)


class AppendOnlyError(TypeError):
    """An attempt to change or delete an audit entry other than by ``prune()`` and ``forget_user()``."""


def _refuse(self: object, *args: Any, **kwargs: Any) -> NoReturn:
    raise AppendOnlyError("Audit entries cannot be changed or deleted.")


class AuditEntryQuerySet(models.QuerySet["AuditEntry"]):
    """The queryset of ``AuditEntry``; it allows inserts only."""

    update = delete = _refuse

    def bulk_create(self, objs: Iterable[AuditEntry], *args: Any, **kwargs: Any) -> list[AuditEntry]:
        # ``update_conflicts`` is the fourth argument.
        if any(args[2:3]) or kwargs.get("update_conflicts"):
            _refuse(self)
        return super().bulk_create(objs, *args, **kwargs)

    def record(
        self,
        event: Event,
        instance: models.Model | None,
        *,
        using: str,
        organization_id: UUID | None = None,
        target: str | None = None,
        old: _Values = None,
        new: _Values = None,
    ) -> AuditEntry:
        """Add an entry for a change in the database ``using``, send its signal after the commit, and return the entry.

        ``organization_id`` and the text ``target`` are those of the instance by default. Without an ``instance`` the entry is its own target, for
        events that concern the audit log as a whole.
        """
        actor = current_actor.get()
        entry = self.model(
            event=event,
            user_id=actor.user.pk if actor.user else None,
            api_key_id=actor.api_key and actor.api_key.pk,
            actor=str(actor)[:255],
            address=actor.address[:64],
            target=(target or str(instance or ""))[:255],
            old_values=dict(old or {}),
            new_values=dict(new or {}),
        )
        about = entry if instance is None else instance
        entry.target_model, entry.target_id = about._meta.model_name or "", about.pk
        # An organization has no ``organization_id``; its own changes appear in its audit log too.
        entry.organization_id = organization_id or getattr(about, "organization_id", about.pk)
        entry.save(using=using)
        # Send a copy, as Django clears the primary key of a deleted instance.
        signal, sent = getattr(signals, event.value), copy(about)

        def send() -> None:
            # The block of the actor has ended by then; what a receiver changes is this actor's as well.
            with acting(actor):
                signal.send_robust(sender=type(sent), entry=entry, instance=sent)

        transaction.on_commit(send, using=using, robust=True)
        return entry

    def _overwrite(self, **values: Any) -> int:
        # For ``forget_user()`` alone, which records what it did.
        return super().update(**values)

    def _erase(self) -> int:
        # For ``prune()`` alone.
        return super().delete()[0]

    def _iter_batches(self) -> Iterator[AuditEntryQuerySet]:
        """Yield querysets of at most ``BATCH_SIZE`` rows, selected by primary key: a write then locks no other row."""
        pks = self.order_by("pk").values_list("pk", flat=True)
        batch = list(pks[:BATCH_SIZE])
        while batch:
            yield self.model.objects.using(self.db).filter(pk__in=batch)
            # Go on behind this batch: PostgreSQL would read the deleted rows again.
            batch = list(pks.filter(pk__gt=batch[-1])[:BATCH_SIZE])


_Manager = models.Manager.from_queryset(AuditEntryQuerySet)


# Not a queryset method: a filter would let its caller choose the entries to delete.
class AuditEntryManager(_Manager["AuditEntry"]):
    """The manager of ``AuditEntry``."""

    def prune(self, older_than: datetime) -> int:
        """Delete all entries created before ``older_than``, and return their number.

        First, an entry with this time and the number of entries is committed. The deletion then runs in short
        transactions. If it is interrupted, the entry stays and you can prune again. Nothing is recorded if there is
        nothing to delete. Raise ``ValueError`` for a time in the future, and ``RuntimeError`` inside a transaction.
        """
        if older_than > timezone.now():
            raise ValueError("older_than should not be in the future.")
        using = self._db or router.db_for_write(self.model)
        old = self.using(using).filter(created_at__lt=older_than)
        with transaction.atomic(using=using, durable=True):
            if count := old.count():
                self.record(Event.AUDIT_PRUNED, None, using=using, new={"older_than": older_than, "entries": count})
        return sum(batch._erase() for batch in old._iter_batches())


class AuditEntry(models.Model):
    """One change, in plain values instead of foreign keys, as the changed rows may be deleted later."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    created_at = models.DateTimeField(_("time"), auto_now_add=True)
    event = models.CharField(_("event"), max_length=32, choices=Event.choices)
    organization_id = models.UUIDField(_("organization id"), null=True, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("user")
    )
    api_key_id = models.UUIDField(_("API key id"), null=True, blank=True)
    actor = models.CharField(_("actor"), max_length=255, help_text=_("The user or API key at the time of the change."))
    address = models.CharField(_("address"), max_length=64, blank=True)
    target_model = models.CharField(_("kind"), max_length=32)
    target_id = models.UUIDField(_("id"))
    target = models.CharField(_("target"), max_length=255)
    old_values = models.JSONField(_("old values"), default=dict, encoder=AuditJSONEncoder)
    new_values = models.JSONField(_("new values"), default=dict, encoder=AuditJSONEncoder)

    objects = AuditEntryManager()
    delete = _refuse

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        # The history of a row, and of what a key did. A row has few entries, so its organization need not be in the index.
        indexes = [
            models.Index(fields=["organization_id", "created_at"], name="closient_auth_audit_org"),
            models.Index(fields=["target_id", "created_at"], name="closient_auth_audit_target"),
            models.Index(fields=["api_key_id", "created_at"], name="closient_auth_audit_key"),
        ]

    def __str__(self) -> str:
        return f"{self.get_event_display()}: {self.target}" if self.target else self.get_event_display()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            _refuse(self)
        super().save(*args, **{**kwargs, "force_insert": True})


class AuditedModel(models.Model):
    """A model with a ``save()`` method that adds an audit entry. Bulk operations and ``update()`` add no entry."""

    # Audit entries contain these fields only, so neither secrets nor hashes.
    audited_fields: ClassVar[tuple[str, ...]]
    # A save without ``update_fields`` writes these only if this instance has changed them: a stale instance must not undo
    # what somebody else has restricted.
    guarded_fields: ClassVar[tuple[str, ...]] = ()
    created_event: Event
    changed_event: ClassVar[Event]

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        if not self._state.adding and self.guarded_fields and kwargs.get("update_fields") is None:
            kwargs["update_fields"] = self.get_fields_to_save() - {self._meta.pk.name}
        with transaction.atomic(using=using):
            old = {} if self._state.adding else self._get_stored(using)
            super().save(*args, **kwargs)
            new = self._get_stored(using)
            if not old:
                AuditEntry.objects.record(self.created_event, self, using=using, new=new)
            elif changed := [name for name in new if new[name] != old[name]]:
                old, new = ({name: values[name] for name in changed} for values in (old, new))
                AuditEntry.objects.record(self.changed_event, self, using=using, old=old, new=new)

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any) -> Self:
        # Django 6.1 has one argument more.
        instance = super().from_db(db, field_names, values, **kwargs)
        if cls.guarded_fields:
            instance._note_guarded()
        return instance

    def get_fields_to_save(self) -> set[str]:
        """Return the names of the loaded fields, without guarded ones that this instance has not changed."""
        names = vars(self)
        loaded = {field.name for field in self._meta.concrete_fields if field.attname in names}
        return loaded - {name for name, value in names.get(GUARDED, {}).items() if value == self._freeze(name)}

    def _note_guarded(self) -> None:
        setattr(self, GUARDED, {name: self._freeze(name) for name in self.guarded_fields})

    def _freeze(self, name: str) -> Any:
        # A list can be changed in place. A deferred field is not loaded for this.
        value = vars(self).get(self._meta.get_field(name).attname)  # type: ignore[union-attr]
        return tuple(map(str, value)) if isinstance(value, list) else value

    def _get_stored(self, using: str) -> dict[str, Any]:
        rows = type(self)._base_manager.using(using).filter(pk=self.pk)
        return rows.values(*self.audited_fields).first() or {}
