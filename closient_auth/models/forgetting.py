"""Forget a person: replace their name and addresses in the audit log and in invitations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from operator import or_
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.db.models import Q
from django.utils.crypto import get_random_string

from closient_auth.models.actors import SYSTEM, acting
from closient_auth.models.addresses import fold_address, get_addresses
from closient_auth.models.api_keys import ApiKey
from closient_auth.models.audit import AuditEntry, AuditEntryQuerySet, AuditJSONEncoder, Event
from closient_auth.models.invitations import Invitation
from closient_auth.models.locks import lock_rows
from closient_auth.models.mailed_addresses import MailedAddress
from closient_auth.models.memberships import Membership
from closient_auth.models.organizations import Organization

PLACEHOLDER = re.compile(r"forgotten-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What ``forget_user()`` replaced, and the active keys that the person has or made, for review.

    ``placeholder`` is the new name of the person, or ``None`` if there was nothing to replace. ``entries`` and
    ``invitations`` are the numbers of changed rows.
    """

    placeholder: str | None
    entries: int
    invitations: int
    api_keys: list[ApiKey]


@dataclass(frozen=True, slots=True)
class _Person:
    # The primary key of the account, if it still exists.
    account: Any
    # Primary keys as JSON has them.
    ids: list[Any]
    names: set[str]
    addresses: set[str]
    # The entries with this person as the actor.
    acts: AuditEntryQuerySet

    def is_actor(self, entry: AuditEntry) -> bool:
        if self.account is None:
            return entry.user_id is None and entry.actor in self.names
        return bool(entry.user_id == self.account)


def forget_user(user: AbstractBaseUser | str) -> Forgotten:
    """Replace the personal data of a user in the audit log and in invitations, in one transaction.

    The name becomes a random placeholder, the same in all entries, and client addresses become empty. Open invitations
    to the user's e-mail address are withdrawn. The account, the keys and the ids stay. For an account that no longer
    exists, pass its username, id or e-mail address as text: each finds what the entries say about it.

    The audit log gets an entry ``USER_FORGOTTEN`` by ``system``, if anything was replaced. Raise ``ObjectDoesNotExist``
    if there is no such account, and nothing is found for a text.
    """
    using = router.db_for_write(AuditEntry)
    # The new entries must not name the person, even if they are the current actor.
    with transaction.atomic(using=using), acting(SYSTEM):
        person = _read_traces(user, using) if isinstance(user, str) else _read_account(user, using)
        about = list(_find_membership_entries(person, using))
        invitations, mails = _find_invitations(person, about, using)
        own_keys, made_keys = (_find_keys(name, person.ids, using) for name in ("user", "created_by"))
        if person.account is None and not (
            about or mails or invitations or own_keys or made_keys or person.acts.exists()
        ):
            raise get_user_model().DoesNotExist("Neither a user nor an audit entry or invitation has this name or id.")

        placeholder = _find_placeholder(about, person, using) or f"forgotten-{get_random_string(8, '0123456789abcdef')}"
        address = f"{placeholder}@example.invalid"
        addresses = person.addresses | {invitation.email for invitation in invitations}
        _replace_addresses(invitations, address, using)
        # After the locks of the organizations, in the order of ``invite()``.
        MailedAddress.objects.forget(addresses, using)
        replaced = [entry for entry in about if _replace(entry, placeholder)]
        replaced += [entry for entry in mails if _replace(entry, address)]
        # An entry that also has the person as its actor is counted once.
        count = sum(not person.is_actor(entry) for entry in replaced)
        acts = person.acts._iter_batches()
        count += sum(batch._overwrite(actor=placeholder, address="", user=None) for batch in acts)
        alone = AuditEntry.objects.using(using).filter(user=None, api_key_id__in=own_keys).exclude(address="")
        count += sum(batch._overwrite(address="") for batch in alone._iter_batches())
        if count or invitations:
            new = {"placeholder": placeholder, "entries": count, "invitations": len(invitations)}
            AuditEntry.objects.record(Event.USER_FORGOTTEN, None, using=using, new=new)
        keys = ApiKey.objects.using(using).active().filter(pk__in={*own_keys, *made_keys})
        return Forgotten(
            placeholder if count or invitations else None,
            count,
            len(invitations),
            list(keys.select_related("organization").order_by("pk")),
        )


def _read_account(user: AbstractBaseUser, using: str) -> _Person:
    # Read the row again. For a deleted user without a primary key, the filter below would match the entries of all.
    account = get_user_model()._base_manager.using(using).get(pk=user.pk)
    return _Person(
        account=account.pk,
        ids=[_to_json(account.pk)],
        names={str(account), account.get_username()},
        addresses=get_addresses(account),
        acts=AuditEntry.objects.using(using).filter(user_id=account.pk),
    )


def _read_traces(text: str, using: str) -> _Person:
    entries = AuditEntry.objects.using(using)
    # "system" and the placeholders are nobody's name.
    names = {text} if text != str(SYSTEM) and not PLACEHOLDER.fullmatch(text) else set()
    named = entries.filter(target_model="membership", target__startswith=f"{text}: ")
    found = [entry.new_values.get("user", entry.old_values.get("user")) for entry in named if _get_name(entry) in names]
    ids = [id for id in dict.fromkeys([*found, text]) if id is not None]
    # Some collations of MariaDB and MySQL compare "Ada" and "ada" as equal, except in regular expressions.
    exact = f"^{re.escape(text)}$"
    return _Person(
        account=None,
        ids=[_to_json(pk) for id in ids if (pk := _read_pk(id)) is not None and not _is_account(pk, using)],
        names=names,
        addresses={fold_address(name) for name in names if "@" in name},
        acts=entries.filter(user=None, actor__in=names, actor__regex=exact),
    )


def _read_pk(id: Any) -> Any:
    # A text that is not a valid id can only be a name. A number that the database cannot store is no id either.
    field = get_user_model()._meta.pk
    with suppress(ValidationError):
        pk = field.to_python(id)
        field.run_validators(pk)
        return pk
    return None


def _is_account(pk: Any, using: str) -> bool:
    return get_user_model()._base_manager.using(using).filter(pk=pk).exists()


def _to_json(pk: Any) -> Any:
    return json.loads(json.dumps(pk, cls=AuditJSONEncoder))


def _any_of(conditions: Iterable[Q]) -> Q:
    # ``pk__in=[]`` matches nothing; an empty ``Q`` would match everything.
    return reduce(or_, conditions, Q(pk__in=[]))


def _get_name(entry: AuditEntry) -> str:
    """Return the name in a target such as "ada: Owner"."""
    return entry.target.rpartition(": ")[0]


def _find_membership_entries(person: _Person, using: str) -> Iterator[AuditEntry]:
    """Yield the entries about memberships of the person."""
    entries = AuditEntry.objects.using(using).filter(target_model="membership")
    conditions = [Q(old_values__user=id) | Q(new_values__user=id) for id in person.ids]
    conditions += [Q(target__startswith=f"{name}: ") for name in person.names]
    memberships = Membership._base_manager.using(using)
    ids = {*entries.filter(_any_of(conditions)).values_list("target_id", flat=True)}
    if person.account is not None:
        ids |= {*memberships.filter(user_id=person.account).values_list("pk", flat=True)}
    holders = {pk: _to_json(user) for pk, user in memberships.filter(pk__in=ids).values_list("pk", "user_id")}
    for pk, group in groupby(
        entries.filter(target_id__in=ids).order_by("target_id", "-created_at"), lambda entry: entry.target_id
    ):
        # Go back in time, as a membership may have changed hands: an entry is about its holder after the change.
        holder = holders.get(pk)
        for entry in group:
            values = entry.new_values if "user" in entry.new_values else entry.old_values
            holder = values.get("user", holder)
            if holder in person.ids or (holder is None and _get_name(entry) in person.names):
                yield entry
            holder = entry.old_values.get("user", holder)


def _find_invitations(
    person: _Person, about: list[AuditEntry], using: str
) -> tuple[list[Invitation], list[AuditEntry]]:
    """Return the invitations to the person, and the entries about these and about deleted ones."""
    joined = {entry.organization_id for entry in about if entry.event == Event.MEMBER_ADDED}
    # The person may have had another address when they accepted.
    accepted = person.acts.filter(event=Event.INVITATION_ACCEPTED, organization_id__in=joined)
    ids = {*accepted.values_list("target_id", flat=True)}
    rows = Invitation._base_manager.using(using).select_related("organization")
    rows = rows.filter(_any_of([Q(pk__in=ids), *(Q(email__iexact=address) for address in person.addresses)]))
    # The database may compare with another collation, so compare again.
    found = [row for row in rows if row.pk in ids or fold_address(row.email) in person.addresses]
    entries = AuditEntry.objects.using(using).filter(target_model="invitation")
    named = entries.filter(_any_of(Q(target__istartswith=f"{address}: ") for address in person.addresses))
    ids |= {entry.target_id for entry in named if fold_address(_get_name(entry)) in person.addresses}
    return found, list(entries.filter(target_id__in=ids | {row.pk for row in found}))


def _find_keys(name: str, ids: list[Any], using: str) -> set[UUID]:
    """Return the ids of all keys, also of deleted ones, with the person as ``user`` or ``created_by`` (the ``name``)."""
    created = AuditEntry.objects.using(using).filter(
        _any_of(Q(**{f"new_values__{name}": id}) for id in ids), target_model="apikey"
    )
    keys = ApiKey._base_manager.using(using).filter(**{f"{name}__in": [_read_pk(id) for id in ids]})
    found = {entry.target_id for entry in created if entry.new_values[name] in ids}
    return found | {*keys.values_list("pk", flat=True)}


def _find_placeholder(about: list[AuditEntry], person: _Person, using: str) -> str | None:
    """Return the placeholder of an earlier run, or ``None``."""
    forgotten = AuditEntry.objects.using(using).filter(event=Event.USER_FORGOTTEN)
    for name in {entry.target.partition(": ")[0] for entry in about} - person.names:
        # Everybody can choose a username that looks like a placeholder.
        if PLACEHOLDER.fullmatch(name) and forgotten.filter(new_values__placeholder=name).exists():
            return name
    return None


def _replace_addresses(invitations: list[Invitation], address: str, using: str) -> None:
    lock_rows(Organization, [invitation.organization_id for invitation in invitations], using)
    for invitation in invitations:
        row = Invitation._base_manager.using(using).filter(pk=invitation.pk)
        # First the address, as the entry and the signal of the withdrawal contain it.
        row.update(email=address)
        # Somebody may have accepted in the meantime; a locking read sees committed rows.
        if row.filter(accepted_at=None, declined_at=None).select_for_update().first():
            invitation.withdraw()


def _replace(entry: AuditEntry, name: str) -> bool:
    """Put ``name`` in the place of the name or address of the target. Return ``False`` if it is there already."""
    # A text of the full length may have been cut within the name.
    role = f": {entry.target.rpartition(': ')[2]}" if len(entry.target) < 255 else ""
    old, new = (
        values | ({"email": name} if "email" in values else {}) for values in (entry.old_values, entry.new_values)
    )
    if (name + role, old, new) == (entry.target, entry.old_values, entry.new_values):
        return False
    rows = AuditEntry.objects.using(entry._state.db).filter(pk=entry.pk)
    rows._overwrite(target=name + role, old_values=old, new_values=new)
    return True
