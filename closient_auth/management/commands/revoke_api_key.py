import re
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management import CommandError
from django.db import router
from django.views.decorators.debug import sensitive_variables

from closient_auth.keys import KeyType, find_api_keys, hash_api_key
from closient_auth.management.base import DatabaseCommand, printable, to_text
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
        stdin = "read one complete key from stdin, alone or within a text"
        parser.add_argument("--stdin", action="store_true", help=stdin)

    def run_from_argv(self, argv: list[str]) -> None:
        # Check before the parser, as its error messages repeat unknown arguments.
        if any(map(RAW_KEY.search, argv[2:])):
            self.stderr.write(f"CommandError: {REFUSAL}")
            sys.exit(1)
        super().run_from_argv(argv)

    def handle(self, *args: object, **options: Any) -> None:
        if any(map(RAW_KEY.search, options["ids"])):
            raise CommandError(REFUSAL)
        if options["stdin"] and options["ids"]:
            raise CommandError("Pass ids or --stdin, not both.")
        # Find all keys first, so an unknown id revokes none.
        unknown = "no key has this id. Run list_api_keys to see the ids."
        api_keys = [_find(unknown, pk=read_uuid(id)) for id in options["ids"]]
        for api_key in api_keys or [self._find_by_text()]:
            verdict = "revoked" if api_key.revoke() else "was already revoked"
            used = f"last used {to_text(api_key.last_used)}" if api_key.last_used else "never used"
            description = printable(f"{api_key}, {api_key.organization or api_key.user}, {used}")
            self.stdout.write(f"{api_key.pk} {description}: {verdict}")

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
        unknown = "no key matches. It may belong to another installation."
        return _find(unknown, hashed_key=hash_api_key(raw_keys.pop()))


def _find(unknown: str, **condition: object) -> ApiKey:
    # Read from the primary database, as a replica may lag and miss the newest keys.
    api_keys = ApiKey.objects.using(router.db_for_write(ApiKey)).select_related("organization", "user")
    api_key = api_keys.filter(**condition).first()
    if api_key is None:
        raise CommandError(f"Nothing was revoked: {unknown}")
    return api_key
