"""The management command ``revoke_api_key``."""

import re
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management import CommandError
from django.db import router
from django.db.models import QuerySet
from django.views.decorators.debug import sensitive_variables

from closient_auth.keys import KeyType, find_api_keys, hash_api_key
from closient_auth.management.base import DatabaseCommand
from closient_auth.management.texts import printable, to_text
from closient_auth.models import ApiKey
from closient_auth.models.organizations import read_uuid

# Match a prefix with nine characters of a key. The hints in the admin and in lists are shorter.
RAW_KEY = re.compile(rf"(?:{'|'.join(KeyType.values)})_[a-z0-9]{{9}}", re.IGNORECASE)
REFUSAL = (
    "Do not pass a key on the command line, as process lists and the shell history show it. "
    "Write the key to stdin, or pass its id."
)


class Command(DatabaseCommand):
    help = "Revoke API keys by id, or one key read from stdin. Revoked keys are refused from the next request on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="id", help="id from list_api_keys; without any id, read stdin")
        parser.add_argument(
            "--stdin", action="store_true", help="read one complete key from stdin, alone or within a text"
        )

    def run_from_argv(self, argv: list[str]) -> None:
        # Check before the parser, as its error messages repeat unknown arguments.
        if any(map(RAW_KEY.search, argv[2:])):
            self.stderr.write(f"CommandError: {REFUSAL}")
            sys.exit(1)
        super().run_from_argv(argv)

    def handle(self, *args: object, **options: Any) -> None:
        if any(map(RAW_KEY.search, options["ids"])):
            raise CommandError(REFUSAL)
        ids = options["ids"]
        if options["stdin"] and ids:
            raise CommandError("Pass ids or --stdin, not both.")
        # Find all keys first, so an unknown id revokes none.
        for api_key in [_find_by_id(id) for id in ids] or [self._find_by_text()]:
            verdict = "revoked" if api_key.revoke() else "was already revoked"
            self.stdout.write(f"{api_key.pk} {_describe(api_key)}: {verdict}")

    @sensitive_variables("text", "raw_keys")
    def _find_by_text(self) -> ApiKey:
        if sys.stdin is None:
            raise CommandError("There is no stdin. Pass the ids of the keys instead.")
        if sys.stdin.isatty():
            self.stderr.write("Paste the key, then press Enter and Ctrl-D.", self.style.NOTICE)
        try:
            text = sys.stdin.read()
        except UnicodeDecodeError:
            text = ""
        raw_keys = find_api_keys(text)
        if len(raw_keys) != 1:
            raise CommandError("Nothing was revoked. Write exactly one complete key to stdin.")
        api_key = _api_keys().filter(hashed_key=hash_api_key(raw_keys.pop())).first()
        if api_key is None:
            raise CommandError("Nothing was revoked: no key matches. It may belong to another installation.")
        return api_key


def _find_by_id(text: str) -> ApiKey:
    uuid = read_uuid(text)
    api_key = _api_keys().filter(pk=uuid).first() if uuid else None
    if api_key is None:
        raise CommandError("Nothing was revoked: no key has this id. Run list_api_keys to see the ids.")
    return api_key


def _describe(api_key: ApiKey) -> str:
    used = f"last used {to_text(api_key.last_used)}" if api_key.last_used else "never used"
    return printable(f"{api_key}, {api_key.organization or api_key.user}, {used}")


def _api_keys() -> QuerySet[ApiKey]:
    # Read from the primary database, as a replica may lag and miss the newest keys.
    return ApiKey.objects.using(router.db_for_write(ApiKey)).select_related("organization", "user")
