from typing import Any

from django.core.management import CommandError

from closient_auth.management.base import DatabaseCommand
from closient_auth.models import ExpiryReminder


class Command(DatabaseCommand):
    help = (
        "Mail the maker of a key and the Owners and Managers of its organization 30, 7 and 1 day before it expires. "
        "Run this command every day. Each mail is sent once, also if the command is interrupted or runs twice."
    )

    def handle(self, *args: object, **options: Any) -> None:
        sent, failed = ExpiryReminder.objects.send_due()
        if options["json"]:
            self.write_json({"sent": sent, "failed": failed})
        else:
            self.write([f"Sent {sent} {'reminder' if sent == 1 else 'reminders'}."])
        if failed:
            raise CommandError(f"{failed} of {sent + failed} reminders could not be sent. Run the command again.")
