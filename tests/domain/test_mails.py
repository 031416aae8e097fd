"""Names in mails: members of an organization choose them, and the mail is the project's."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.base_user import AbstractBaseUser

from closient_auth.models.mails import MAX_NAME_LENGTH, defuse, get_display_address, get_display_name
from tests.factories import UserFactory

# What mail programs turn into a link.
LINK = re.compile(r"\w[.\u2024\u3002\uff0e\uff61]\w|[:@]\S|//.*\.\w|\\\w")
NAMES = {
    "Acme Foods": "Acme Foods",
    "Acme Inc.": "Acme Inc.",
    "AC/DC & Söhne": "AC/DC & Söhne",
    "Booking.com": "Booking. com",
    "https://evil.example/login?x=1": "https: //evil. example/login?x=1",
    "www.evil.example": "www. evil. example",
    "evil。example": "evil。 example",
    "evil\uff0eexample": "evil\uff0e example",
    "evil\u2024example": "evil\u2024 example",
    "mailto:team@evil.example": "mailto: team@ evil. example",
    "tel:+491234": "tel: +491234",
    "\\\\evil\\share": "\\ \\ evil\\ share",
    "Acme\r\nBcc: all\n\n\tMore\u2028Text": "Acme Bcc: all More Text",
    "\u202eemca\u202c \u2066x\u2069\u200b\x1b\x00": "emca x",
    "evil.\u200bexample": "evil. example",
    "a" * 60: "a" * 60,
    "a" * 61: "a" * 59 + "…",
    f"{'a' * 58} {'b' * 20}": "a" * 58 + "…",
    "\u202e": "",
}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_name(name):
    shown = defuse(name)

    assert shown == NAMES[name]
    assert not LINK.search(shown)
    assert len(shown) <= MAX_NAME_LENGTH
    assert defuse(shown) == shown


def test_display_name():
    named = {"first_name": "Ada", "last_name": "https://evil.example"}

    assert get_display_name(UserFactory.build(**named)) == "Ada https: //evil. example"
    assert get_display_name(UserFactory.build(username="ada")) == "ada"
    assert get_display_name(UserFactory.build(username="ada.l@example.com")) == "ada. l"
    assert get_display_name(UserFactory.build(username="ada", first_name="\u202e")) == "ada"


def test_display_name_without_full_names():
    class Account(AbstractBaseUser):
        class Meta:
            abstract = True

    assert not hasattr(Account, "get_full_name")
    assert get_display_name(type("Account", (), {"get_username": lambda self: "ada"})()) == "ada"


@pytest.mark.parametrize("address", ["ada@example.com", "Ada.L+1@mail.example"])
def test_display_address(address):
    assert get_display_address(UserFactory.build(email=address)) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        '"Pay now https://evil.example "@x.example',
        "ada@bücher.example",
        f"{'a' * 60}@example.com",
        "ada@example.com\nBcc: all@example.com",
    ],
)
def test_address_that_is_not_shown(address):
    assert get_display_address(UserFactory.build(email=address)) == ""


def get_one_address(user):
    return ["ada@example.com"]


def test_a_mail_does_not_vouch_for_an_unverified_address(settings):
    settings.CLOSIENT_AUTH = {"VERIFIED_ADDRESSES": f"{__name__}.get_one_address"}

    assert get_display_address(UserFactory.build(email="Ada@Example.com")) == "Ada@Example.com"
    assert get_display_address(UserFactory.build(email="ceo@bank.example")) == ""
