"""The table of key types is the only place that knows them: everything else is compared with a table written out here."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from itertools import product

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from closient_auth.admin.forms import ApiKeyCreationForm
from closient_auth.api.serializers import NewApiKeySerializer
from closient_auth.core.credentials import is_public
from closient_auth.core.rates import get_windows
from closient_auth.keys import KeyType
from closient_auth.models import ApiKey
from closient_auth.principals import OrganizationPrincipal, get_principal
from closient_auth.roles import KEY_RULES, Permission, get_all_permissions
from tests.factories import OrganizationFactory, UserFactory, make_key

pytestmark = pytest.mark.django_db

ALL, VIEW = "all", "view"
# Type: holder, permissions in its organization (None: those of its user's role), public, default limit per minute.
TABLE = {
    "csb": ("organization", ALL, False, 300),
    "csu": ("user", None, False, 300),
    "cpk": ("organization", VIEW, True, 100),
}
HOLDERS = ["organization", "user"]


@pytest.fixture
def make_holder():
    return {"organization": OrganizationFactory.create, "user": UserFactory.create}


def test_every_type_has_its_rules():
    assert set(KEY_RULES) == set(KeyType) == set(TABLE)


@pytest.mark.parametrize("prefix", TABLE)
def test_rules(settings, prefix):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"owner": ["offers.publish"]}}
    holder, permissions, public, per_minute = TABLE[prefix]
    api_key, _ = make_key(prefix)
    principal = get_principal(api_key)

    assert is_public(api_key.prefix) is public
    assert get_windows(api_key)[0].limit == per_minute
    assert (principal == api_key.user) is (holder == "user")
    if isinstance(principal, OrganizationPrincipal):
        known = {ALL: get_all_permissions() | {"offers.publish"}, VIEW: {Permission.VIEW_ORGANIZATION}}
        assert principal.permissions == known[str(permissions)]
    else:
        assert permissions is None


@pytest.mark.parametrize(
    ("prefix", "given"), [(prefix, given) for prefix in TABLE for given in product([True, False], repeat=2)]
)
def test_holder_in_model_form_command_and_database(make_holder, prefix, given):
    """A key has the holder of its type and no other, whoever creates it."""
    holders = {name: make_holder[name]() for name, wanted in zip(HOLDERS, given, strict=True) if wanted}
    is_right = list(holders) == [TABLE[prefix][0]]
    arguments = [f"--{name}={holder.pk}" for name, holder in holders.items()]
    form = ApiKeyCreationForm(
        {"prefix": prefix, "name": "Server", "rate_limit_per_minute": 0, "rate_limit_per_day": 0}
        | {name: holder.pk for name, holder in holders.items()}
    )
    row = ApiKey(prefix=prefix, hashed_key="0" * 64, hint="abcd", **holders)

    assert form.is_valid() is is_right
    if is_right:
        call_command("create_api_key", prefix, *arguments, stdout=StringIO(), stderr=StringIO())
        ApiKey.objects.create_key(prefix=prefix, **holders)
        row.save()
        assert ApiKey.objects.count() == 3
        return
    with pytest.raises(CommandError, match=f"A {prefix} key belongs to"):
        call_command("create_api_key", prefix, *arguments)
    with pytest.raises(ValidationError) as caught:
        ApiKey.objects.create_key(prefix=prefix, **holders)
    assert caught.value.code == "holder"
    with pytest.raises(IntegrityError, match="closient_auth_apikey_one_holder"), transaction.atomic():
        row.save()
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("prefix", TABLE)
def test_management_api_creates_the_types_of_organizations(prefix):
    assert NewApiKeySerializer(data={"prefix": prefix}).is_valid() is (TABLE[prefix][0] == "organization")


def test_help_texts_name_the_types_of_organizations():
    stdout = StringIO()
    with redirect_stdout(stdout), pytest.raises(SystemExit):
        call_command("create_api_key", "--help")

    assert "csb or cpk for an organization, csu for a user" in " ".join(stdout.getvalue().split())
    assert NewApiKeySerializer().fields["prefix"].help_text == "csb / cpk"
