from __future__ import annotations

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

# More of a key than the pages show.
RAW_KEY = re.compile(rf"(?:{'|'.join(KeyType.values)})_[a-z0-9]{{9}}", re.IGNORECASE)
REFUSAL = (
    "A key does not belong on the command line, where process lists and the shell's history show it: "
    "write it to stdin, or pass its id."
)


class Command(DatabaseCommand):
    help = "Revoke API keys by their ids, or the one whose text comes on stdin. It acts on the next request, for good."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="id", help="as list_api_keys tells it; without one, stdin")
        parser.add_argument(
            "--stdin", action="store_true", help="read one whole key from stdin, alone or in a line of text"
        )

    def run_from_argv(self, argv: list[str]) -> None:
        # Before the parser, which repeats what it does not know.
        if any(map(RAW_KEY.search, argv[2:])):
            self.stderr.write(f"CommandError: {REFUSAL}")
            sys.exit(1)
        super().run_from_argv(argv)

    def handle(self, *args: object, **options: Any) -> None:
        if any(map(RAW_KEY.search, options["ids"])):
            raise CommandError(REFUSAL)
        ids = options["ids"]
        if options["stdin"] and ids:
            raise CommandError("Pass the ids of keys, or a key on stdin, and not both.")
        # All of them are found before the first is revoked.
        for api_key in [_find_by_id(id) for id in ids] or [self._find_by_text()]:
            verdict = "revoked" if api_key.revoke() else "was revoked already"
            self.stdout.write(f"{api_key.pk} {_describe(api_key)}: {verdict}")

    @sensitive_variables("text", "raw_keys")
    def _find_by_text(self) -> ApiKey:
        if sys.stdin is None:
            raise CommandError("Pass the ids of keys: there is no stdin to read a key from.")
        if sys.stdin.isatty():
            self.stderr.write("Type the key, Enter, and Ctrl-D.", self.style.NOTICE)
        try:
            text = sys.stdin.read()
        except UnicodeDecodeError:
            text = ""
        raw_keys = find_api_keys(text)
        if len(raw_keys) != 1:
            raise CommandError(
                "That is not one whole key, and nothing was revoked: write one, and all of it, to stdin."
            )
        api_key = _api_keys().filter(hashed_key=hash_api_key(raw_keys.pop())).first()
        if api_key is None:
            raise CommandError("There is no such key, and nothing was revoked: it may be of another installation.")
        return api_key


def _find_by_id(text: str) -> ApiKey:
    uuid = read_uuid(text)
    api_key = _api_keys().filter(pk=uuid).first() if uuid else None
    if api_key is None:
        raise CommandError("There is no key with such an id, and nothing was revoked: list_api_keys tells the ids.")
    return api_key


def _describe(api_key: ApiKey) -> str:
    used = f"last used {to_text(api_key.last_used)}" if api_key.last_used else "never used"
    return printable(f"{api_key}, {api_key.organization or api_key.user}, {used}")


def _api_keys() -> QuerySet[ApiKey]:
    # A replica that lags does not know the newest keys.
    return ApiKey.objects.using(router.db_for_write(ApiKey)).select_related("organization", "user")
