from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management import CommandError
from django.utils import timezone

from closient_auth.conf import conf
from closient_auth.keys import KeyType
from closient_auth.management.base import (
    DatabaseCommand,
    describe_holder,
    find_organization,
    find_user,
    get_holder_name,
    iter_pages,
    printable,
    read_days,
    to_text,
)
from closient_auth.models import ApiKey
from closient_auth.models.api_keys import ApiKeyQuerySet, KeyState

COLUMNS = {"id": 36, "key": 9, "state": 13, "last_used": 20, "expires_at": 20, "holder": 24, "name": 0}


class Command(DatabaseCommand):
    help = "List API keys. The output contains neither keys nor hashes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--organization", metavar="ID|SLUG")
        parser.add_argument("--type", choices=KeyType.values)
        parser.add_argument("--state", choices=KeyState.values)
        parser.add_argument("--created-by", metavar="NAME|ID", help="keys that this user created")
        unused = "keys not used (or created) in the last DAYS days; only active keys unless --state is set"
        parser.add_argument("--unused-for", type=int, metavar="DAYS", help=unused)
        expiring = "active keys expiring in the next DAYS days"
        parser.add_argument("--expiring-within", type=int, metavar="DAYS", help=expiring)
        beyond = "active keys that live longer than MAX_KEY_LIFETIME_DAYS allows"
        parser.add_argument("--beyond-policy", action="store_true", help=beyond)
        parser.add_argument("--format", choices=["table", "json"], default="table", help="--format json is --json")

    def handle(self, *args: object, **options: Any) -> None:
        # Do not read the hashes from the database; the output does not need them.
        api_keys = _filter(options).with_holders().defer("hashed_key")
        rows = iter_pages(api_keys)
        if options["json"] or options["format"] == "json":
            self.write_json(map(_describe, rows), is_list=True)
        else:
            self.write(_to_table(rows), is_list=True)


def _filter(options: dict[str, Any]) -> ApiKeyQuerySet:
    api_keys, state, now = ApiKey.objects.all(), options["state"], timezone.now()
    if options["organization"]:
        api_keys = api_keys.filter(organization=find_organization(options["organization"]))
    if options["created_by"]:
        api_keys = api_keys.filter(created_by=find_user(options["created_by"]).pk)
    if options["type"]:
        api_keys = api_keys.filter(prefix=options["type"])
    if (days := options["unused_for"]) is not None:
        api_keys = api_keys.unused_since(now - read_days(days, "--unused-for"))
        state = state or KeyState.ACTIVE
    if (days := options["expiring_within"]) is not None:
        api_keys = api_keys.filter(expires_at__gt=now, expires_at__lte=now + read_days(days, "--expiring-within"))
        state = state or KeyState.ACTIVE
    if options["beyond_policy"]:
        if not conf.MAX_KEY_LIFETIME_DAYS:
            raise CommandError("CLOSIENT_AUTH['MAX_KEY_LIFETIME_DAYS'] is not set, so no key is beyond it.")
        api_keys = api_keys.beyond_policy()
        state = state or KeyState.ACTIVE
    return api_keys.in_state(state) if state else api_keys


def _describe(api_key: ApiKey) -> dict[str, Any]:
    return {
        "id": str(api_key.pk),
        "type": api_key.prefix,
        "hint": api_key.hint,
        "name": api_key.name,
        "description": api_key.description,
        "state": api_key.state.value,
        **describe_holder(api_key),
        "rotated_from": api_key.rotated_from_id and str(api_key.rotated_from_id),
        "created_by": api_key.created_by_id and str(api_key.created_by_id),
        "created_at": to_text(api_key.created_at),
        "expires_at": to_text(api_key.expires_at),
        "last_used": to_text(api_key.last_used),
        "rate_limit_per_minute": api_key.rate_limit_per_minute,
        "rate_limit_per_day": api_key.rate_limit_per_day,
        "permissions": api_key.permissions,
        "restricted_to": api_key.restricted_to_id and str(api_key.restricted_to_id),
        "allowed_networks": api_key.allowed_networks,
        "allowed_origins": api_key.allowed_origins,
    }


def _to_table(api_keys: Iterable[ApiKey]) -> Iterator[str]:
    yield _align({name: name.replace("_", " ").upper() for name in COLUMNS})
    for api_key in api_keys:
        row = _describe(api_key)
        times = {name: row[name] or "never" for name in ("last_used", "expires_at")}
        yield _align(row | times | {"key": f"{row['type']}_{row['hint']}…", "holder": get_holder_name(api_key)})


def _align(cells: dict[str, Any]) -> str:
    return "  ".join(f"{printable(cells[name]):{width}}" for name, width in COLUMNS.items()).rstrip()
