from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import CommandError
from django.utils import timezone

from closient_auth.keys import KeyType
from closient_auth.management.base import DatabaseCommand, find_organization, find_user, read_days, to_text
from closient_auth.models import ApiKey
from closient_auth.models.api_keys import MAX_LIMIT
from closient_auth.models.people import is_active
from closient_auth.roles import KEY_RULES, KeyHolder, get_key_types

# The options that can be repeated, by the name of the field.
LISTS = {
    "permissions": ("--permission", "NAME", "a permission that the key may use; by default all of its type"),
    "allowed_networks": ("--allowed-network", "CIDR", "a network that may use the key; by default all"),
    "allowed_origins": ("--allowed-origin", "ORIGIN", "an origin of web pages that may use a cpk key; by default all"),
}
HOLDERS = {KeyHolder.ORGANIZATION: "an organization", KeyHolder.USER: "a user"}


class Command(DatabaseCommand):
    help = "Create an API key and write it to stdout. The key is shown only once: pipe it to a secret store."
    nothing = "no key was created"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        types = {holder: " or ".join(get_key_types(holder)) for holder in KeyHolder}
        help = ", ".join(f"{types[holder]} for {HOLDERS[holder]}" for holder in KeyHolder)
        parser.add_argument("type", choices=KeyType.values, help=help)
        for holder, metavar in ((KeyHolder.ORGANIZATION, "ID|SLUG"), (KeyHolder.USER, "NAME|ID")):
            parser.add_argument(f"--{holder}", metavar=metavar, help=f"the {holder} of a {types[holder]} key")
        parser.add_argument("--name", default="")
        parser.add_argument("--description", default="")
        parser.add_argument("--created-by", metavar="NAME|ID", help="the user to record as creator of the key")
        expiry = parser.add_mutually_exclusive_group()
        expiry.add_argument("--expires-at", metavar="TIME", help="ISO 8601 with an offset: 2030-01-31T12:00:00+00:00")
        expiry.add_argument("--expires-in-days", metavar="N", type=int)
        parser.add_argument("--rate-limit-per-minute", metavar="N", type=int, default=0, help="0 uses the default")
        parser.add_argument("--rate-limit-per-day", metavar="N", type=int, default=0, help="0 uses the default")
        for name, (option, metavar, help) in LISTS.items():
            parser.add_argument(option, dest=name, metavar=metavar, action="append", help=f"{help}; can be repeated")
        restricted = "the only organization in which a csu key works"
        parser.add_argument("--restricted-to", metavar="ID|SLUG", help=restricted)

    def handle(self, *args: object, **options: Any) -> None:
        values = self._read(options)
        api_key = self.write_new_key(lambda: _create(values), as_json=options["json"])
        if options["verbosity"]:
            expiry = to_text(api_key.expires_at) or "it is revoked"
            text = f"Created {api_key.pk}, valid until {expiry}. The key cannot be shown again."
            self.note(text, self.style.SUCCESS)

    def _read(self, options: dict[str, Any]) -> dict[str, Any]:
        prefix = options["type"]
        holder = KEY_RULES[prefix].holder
        other = next(name for name in KeyHolder if name != holder)
        if options[other] or not options[holder]:
            raise CommandError(f"A {prefix} key belongs to {HOLDERS[holder]}. Pass --{holder} and not --{other}.")
        for option in ("rate-limit-per-minute", "rate-limit-per-day"):
            if not 0 <= options[option.replace("-", "_")] <= MAX_LIMIT:
                raise CommandError(f"--{option} should be between 0 (the default limit) and {MAX_LIMIT} requests.")
        finders = {
            "organization": find_organization,
            "restricted_to": find_organization,
            "user": find_user,
            "created_by": find_user,
        }
        found: dict[str, Any] = {name: find(options[name]) for name, find in finders.items() if options[name]}
        if holder == KeyHolder.USER and not is_active(found["user"]):
            raise CommandError("This user is inactive, so the key would be refused. Activate the user first.")
        names = ("name", "description", "rate_limit_per_minute", "rate_limit_per_day")
        expires_at = _read_expiry(options["expires_at"], options["expires_in_days"])
        lists = {name: options[name] for name in LISTS if options[name] is not None}
        return {"prefix": prefix, "expires_at": expires_at, **found, **lists, **{name: options[name] for name in names}}


def _create(values: dict[str, Any]) -> tuple[ApiKey, str]:
    try:
        return ApiKey.objects.create_key(**values)
    except ValidationError as error:
        errors = error.message_dict.items()
        text = " ".join(f"{_get_option(name)}: {' '.join(messages)}" for name, messages in errors)
        raise CommandError(text) from None


def _get_option(name: str) -> str:
    return LISTS[name][0] if name in LISTS else f"--{name.replace('_', '-')}"


def _read_expiry(moment: str | None, days: int | None) -> datetime | None:
    if days is not None:
        return timezone.now() + read_days(days, "--expires-in-days", least=1)
    if moment is None:
        return None
    try:
        expires_at = datetime.fromisoformat(moment)
        if expires_at.tzinfo is None:
            raise CommandError("--expires-at has no time zone. Add an offset from UTC, such as Z or +00:00.")
        expires_at = expires_at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise CommandError("--expires-at is not an ISO 8601 time. Use a format such as 2030-01-31T12:00:00Z.") from None
    return expires_at if settings.USE_TZ else timezone.make_naive(expires_at)
