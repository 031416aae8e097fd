import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.core.management import CommandError

from closient_auth.keys import find_api_keys, hash_api_key
from closient_auth.management.base import KeyCommand, OutputError, get_holder_name, printable, to_text
from closient_auth.models import ApiKey
from closient_auth.models.locks import lock_rows

NO_STDIN = "There is no stdin. Pass the ids of the keys instead."


class Command(KeyCommand):
    help = (
        "Revoke API keys by id, or one key read from stdin. Revoked keys are refused from the next request on. "
        "If one of the ids is unknown, no key is revoked."
    )
    nothing = "nothing was revoked"
    instead = "Write the key to stdin, or pass its id."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("ids", nargs="*", metavar="id", help="id from list_api_keys; without any id, read stdin")
        stdin = "read one complete key from stdin, alone or within a text"
        parser.add_argument("--stdin", action="store_true", help=stdin)

    def handle(self, *args: object, **options: Any) -> None:
        ids = self.read_ids(options["ids"])
        if options["stdin"] and ids:
            raise CommandError("Pass ids or --stdin, not both.")
        # Read stdin before the transaction, which would hold SQLite's lock while somebody types.
        hashed_key = None if ids else self._read_hash()
        with self.changing() as using:
            results = self._revoke(hashed_key or ids, using)
        try:
            if options["json"]:
                self.write_json([_describe(api_key, is_news) for api_key, is_news in results])
            else:
                self.write(_to_lines(results))
        except OutputError as error:
            # Revoked keys stay revoked: a leaked key that works again is worse than a result that nobody has read.
            keys = ", ".join(str(api_key.pk) for api_key, _ in results)
            problem = f"Could not write the result to stdout: {error.reason}."
            raise CommandError(f"{problem} These keys are revoked: {keys}.") from None

    def _revoke(self, which: str | list[UUID], using: str) -> list[tuple[ApiKey, bool]]:
        """Revoke the keys with this hash or these ids. Return each key, and whether it was revoked now."""
        # Read from the primary database, as a replica may lag and miss the newest keys.
        api_keys = ApiKey.objects.using(using).defer("hashed_key")
        if isinstance(which, str):
            unknown = "no key matches. It may belong to another installation."
            which = list(api_keys.filter(hashed_key=which).values_list("pk", flat=True))
        else:
            unknown = self.unknown_id
        # One transaction for all keys needs one order of their locks. Deleting a user locks the user's keys in another
        # order; if the database ends such a deadlock here, nothing is revoked, and the error says so.
        lock_rows(ApiKey, which, using)
        found = api_keys.select_related("organization", "user").in_bulk(which)
        # The keys are read under their locks, so none can be deleted meanwhile.
        if not which or len(found) < len(which):
            raise self.failure(unknown)
        return [(found[pk], found[pk].revoke()) for pk in which]

    def _read_hash(self) -> str:
        if sys.stdin is None:
            raise CommandError(NO_STDIN)
        try:
            if sys.stdin.isatty():
                self.note("Paste the key, then press Enter and Ctrl-D.", self.style.NOTICE)
            hashes = _read_hashes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is closed"
            raise self.failure(f"stdin cannot be read: {reason}.") from None
        if not hashes:
            advice = "Is it cut off or misspelt? Look for its first eight characters: list_api_keys | grep csb_Cel5"
            raise self.failure(f"stdin has no complete key. {advice}")
        if len(hashes) > 1:
            raise self.failure(f"stdin has {len(hashes)} keys. Write one at a time, or pass their ids together.")
        return hashes.pop()


def _read_hashes() -> set[str]:
    """Return the hashes of the keys in stdin; the raw keys stay in this frame, out of error reports."""
    # Read bytes, as the text around a key may have another encoding than the terminal. A stdin of ``call_command()`` may
    # be a text stream without them.
    data = getattr(sys.stdin, "buffer", sys.stdin).read()
    data = data.encode(errors="replace") if isinstance(data, str) else data
    # A key is ASCII. Without its NUL bytes, UTF-16 text is ASCII too; with them, a NUL ends a key, as in /proc/*/environ.
    texts = [each.decode("ascii", "replace") for each in (data, data.replace(b"\0", b""))]
    return {hash_api_key(raw_key) for text in texts for raw_key in find_api_keys(text)}


def _to_lines(results: list[tuple[ApiKey, bool]]) -> Iterator[str]:
    for api_key, is_news in results:
        used = f"last used {to_text(api_key.last_used)}" if api_key.last_used else "never used"
        description = printable(f"{api_key}, {api_key.organization or api_key.user}, {used}")
        yield f"{api_key.pk} {description}: {'revoked' if is_news else 'was already revoked'}"


def _describe(api_key: ApiKey, is_news: bool) -> dict[str, Any]:
    return {
        "id": str(api_key.pk),
        "hint": api_key.hint,
        "name": api_key.name,
        "holder": get_holder_name(api_key),
        "last_used": to_text(api_key.last_used),
        "revoked": is_news,
    }
