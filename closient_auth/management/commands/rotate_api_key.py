from argparse import ArgumentParser
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.management import CommandError
from django.db import router

from closient_auth.management.base import KeyCommand, describe_new_key, to_text
from closient_auth.models import ApiKey
from closient_auth.models.api_keys import MAX_GRACE

MOST_SECONDS = int(MAX_GRACE.total_seconds())


class Command(KeyCommand):
    help = (
        "Replace an API key by a new one with the same settings, and write the new key to stdout. The key is shown only "
        "once: pipe it to a secret store."
    )
    nothing = "no key was rotated"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("id", help="id from list_api_keys")
        grace = f"seconds until the old key ends, up to {MOST_SECONDS} (7 days); by default it is revoked now"
        parser.add_argument("--grace-seconds", type=int, default=0, metavar="N", help=grace)

    def handle(self, *args: object, **options: Any) -> None:
        (pk,) = self.read_ids([options["id"]])
        if not 0 <= options["grace_seconds"] <= MOST_SECONDS:
            raise CommandError(f"--grace-seconds should be between 0 and {MOST_SECONDS} (7 days).")
        grace = timedelta(seconds=options["grace_seconds"])
        api_key = self.write_new_key(lambda: self._rotate(pk, grace), as_json=options["json"])
        if options["verbosity"]:
            expiry = to_text(api_key.expires_at) or "it is revoked"
            end = describe_new_key(api_key)["rotated_from"]["valid_until"]
            old = f"The old key works until {end}." if end else "The old key is revoked."
            text = f"Created {api_key.pk}, valid until {expiry}. {old} The new key cannot be shown again."
            self.note(text, self.style.SUCCESS)

    def _rotate(self, pk: UUID, grace: timedelta) -> tuple[ApiKey, str]:
        try:
            old = ApiKey.objects.using(router.db_for_write(ApiKey)).select_related("organization", "user").get(pk=pk)
            return old.rotate(grace=grace)
        except ApiKey.DoesNotExist:
            raise self.failure(self.unknown_id) from None
        except ValidationError as error:
            raise self.failure(" ".join(error.messages)) from None
