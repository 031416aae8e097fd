from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from closient_auth.management.base import DatabaseCommand, read_days, to_text
from closient_auth.models import AuditEntry, MailedAddress


class Command(DatabaseCommand):
    help = (
        "Delete old entries from the audit log. First, an entry about the deletion is added. You can interrupt the "
        "command and run it again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        age = "delete the entries that are older than DAYS days"
        parser.add_argument("--older-than", type=int, metavar="DAYS", required=True, help=age)

    def handle(self, *args: object, **options: Any) -> None:
        moment = timezone.now() - read_days(options["older_than"], "--older-than", least=1)
        deleted = AuditEntry.objects.prune(moment)
        MailedAddress.objects.prune()
        if options["json"]:
            self.write_json({"older_than": to_text(moment), "deleted": deleted})
        else:
            self.write([f"Deleted audit entries older than {to_text(moment)}: {deleted}"])
