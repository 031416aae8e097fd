from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ObjectDoesNotExist
from django.core.management import CommandError
from django.db import router

from closient_auth.management.base import DatabaseCommand, find_user, get_holder_name, printable
from closient_auth.memberships import get_memberships
from closient_auth.models.addresses import get_address_field
from closient_auth.models.api_keys import ApiKey
from closient_auth.models.forgetting import Forgotten, forget_user


class Command(DatabaseCommand):
    help = (
        "Replace the name and addresses of a user in the audit log and in invitations by a placeholder. The account and "
        "its keys stay; active keys are listed so that you can revoke them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        user = "username or id; for a deleted user also the e-mail address"
        parser.add_argument("user", metavar="USER", help=user)

    def handle(self, *args: object, **options: Any) -> None:
        try:
            forgotten = forget_user(_find(options["user"]))
        except ObjectDoesNotExist as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.write_json(_describe(forgotten))
        else:
            self.write(_to_lines(forgotten))


def _to_lines(forgotten: Forgotten) -> Iterator[str]:
    yield f"Placeholder: {forgotten.placeholder or 'none, as there was nothing to replace'}"
    yield f"Changed audit entries: {forgotten.entries}"
    yield f"Changed invitations: {forgotten.invitations}"
    if forgotten.api_keys:
        yield "Active keys that this user has or made, to revoke with revoke_api_key:"
    for api_key in forgotten.api_keys:
        holder = printable(get_holder_name(api_key)) if api_key.organization else "user key"
        # Names of keys are left out, as they can contain any character, and the name of the person.
        yield f"{api_key.pk} {api_key.prefix}_{api_key.hint} {holder}"


def _find(text: str) -> AbstractBaseUser | str:
    """Return the user, or the text itself if there is no such user."""
    model = get_user_model()
    try:
        return find_user(text)
    except CommandError:
        if model._base_manager.using(router.db_for_write(model)).filter(**{model.USERNAME_FIELD: text}).exists():
            # Two users match.
            raise
        field = get_address_field()
        if (
            field
            and model._base_manager.using(router.db_for_write(model)).filter(**{f"{field}__iexact": text}).exists()
        ):
            raise CommandError("An account has this e-mail address. Pass its username or id.") from None
        return text


def _describe(forgotten: Forgotten) -> dict[str, Any]:
    return {
        "placeholder": forgotten.placeholder,
        "audit_entries": forgotten.entries,
        "invitations": forgotten.invitations,
        "api_keys": [_describe_key(api_key) for api_key in forgotten.api_keys],
    }


def _describe_key(api_key: ApiKey) -> dict[str, Any]:
    organization = api_key.organization
    return {
        "id": str(api_key.pk),
        "type": api_key.prefix,
        "hint": api_key.hint,
        "organization": organization and {"id": str(organization.pk), "slug": get_memberships().get_slug(organization)},
    }
