import re
from argparse import ArgumentParser
from typing import Any

from django.core.management import CommandError
from django.utils import timezone

from closient_auth.limits.windows import StoreUnavailable
from closient_auth.management.base import DatabaseCommand, read_days, to_text
from closient_auth.models import ApiKeyUsage
from closient_auth.usage.collection import collect

DAYS = re.compile(r"(\d{1,9})d?", re.ASCII)
# The cache keeps two days. Rows of these days would be collected again.
LEAST = 3


class Command(DatabaseCommand):
    help = (
        "Copy the finished hours of the usage history from Redis into the database. Run it at least once a day, better "
        "every hour. You can interrupt the command and run it again, also at the same time. It deletes the rows of keys "
        "that no longer exist."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        age = "also delete the rows that are older than DAYS days, such as 400 or 400d"
        parser.add_argument("--keep", metavar="DAYS", help=age)

    def handle(self, *args: object, **options: Any) -> None:
        moment = None
        if options["keep"] is not None:
            if not (match := DAYS.fullmatch(str(options["keep"]))):
                raise CommandError("--keep should be a number of days, such as 400 or 400d.")
            moment = timezone.now() - read_days(int(match[1]), "--keep", least=LEAST)
        try:
            collected = collect()
        except StoreUnavailable as error:
            raise CommandError(f"The cache did not respond: {error}. Run the command again.") from error
        deleted = {"older_than": to_text(moment), "old": 0, "without_key": ApiKeyUsage.objects.prune_orphans()}
        if moment is not None:
            deleted["old"] = ApiKeyUsage.objects.prune(moment)
        if options["json"]:
            self.write_json({"collected": collected, "deleted": deleted})
        else:
            self.write(_to_lines(collected, deleted))
        if collected is None:
            self.note("The cache records no usage, as each process writes its own. There is nothing to collect.")


def _to_lines(collected: int | None, deleted: dict[str, Any]) -> list[str]:
    lines = [] if collected is None else [f"Collected hours of keys: {collected}"]
    if deleted["older_than"]:
        lines.append(f"Deleted rows older than {deleted['older_than']}: {deleted['old']}")
    return [*lines, f"Deleted rows without a key: {deleted['without_key']}"]
