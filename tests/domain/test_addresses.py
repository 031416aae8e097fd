from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from closient_auth.models.addresses import (
    fold_address,
    get_addresses,
    get_spellings,
    get_verified_addresses,
    mask_address,
)
from tests.factories import UserFactory

SAME = [
    ("Ada@Example.COM", "ada@example.com"),
    ("ada@bücher.example", "ada@xn--bcher-kva.example"),
    ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
    ("ada@XN--bcher-KVA.example", "ada@xn--bcher-kva.example"),
    ("ada@mail.bücher.example", "ada@mail.xn--bcher-kva.example"),
]
# The codec of Python maps each of the first domains onto the second, and they may belong to different people.
DIFFERENT = [
    ("ada@straße.example", "ada@strasse.example"),
    ("ada@ｅxample.com", "ada@example.com"),
    ("ada@\u212aelvin.example", "ada@kelvin.example"),
    ("ada@bücher\u3002example", "ada@bücher.example"),
    ("ada@exam\u00adple.com", "ada@example.com"),
    ("ada@βόλος.example", "ada@βόλοσ.example"),
    ("ada@bu\u0308cher.example", "ada@bücher.example"),
    ("ä@example.com", "Ä@example.com"),
    ("ada@example.com.", "ada@example.com"),
    ("ada@bücher.example.", "ada@bücher.example"),
]


@pytest.mark.parametrize(("address", "folded"), SAME)
def test_same_address(address, folded):
    assert fold_address(address) == folded == fold_address(folded)


@pytest.mark.parametrize(("address", "other"), DIFFERENT)
def test_addresses_of_different_people(address, other):
    assert fold_address(address) != fold_address(other)


@pytest.mark.parametrize("address", ["", "@", "ada", f"ada@{'ü' * 64}.example", "ada@ü..example", "ada@.ü"])
def test_what_is_not_an_address_is_compared_as_text(address):
    assert fold_address(address) == address


def test_a_domain_longer_than_a_name_in_the_dns_is_not_converted():
    """Python's codec takes time by the square of the length of a label."""
    domain = ".".join(["ü" * 50] * 6)

    assert fold_address(f"ada@{domain}") == f"ada@{domain}"
    assert fold_address(f"ada@{domain[:203]}").isascii()


def test_spellings():
    assert get_spellings("ada@xn--bcher-kva.example") == {"ada@xn--bcher-kva.example", "ada@bücher.example"}
    assert get_spellings("ada@example.com") == {"ada@example.com"}
    assert get_spellings("ada@straße.example") == {"ada@straße.example"}
    assert get_spellings("ada@xn--\u00e9.example") == {"ada@xn--\u00e9.example"}


@pytest.mark.parametrize(
    ("address", "masked"), [("ben@demo.example", "b…@demo.example"), ("b@x.example", "b…@x.example")]
)
def test_mask(address, masked):
    assert mask_address(address) == masked


def find_addresses(user):
    return ["Ada@Work.example", "", "ada@bücher.example"]


def test_verified_addresses(db, settings):
    user = UserFactory.create(email="Ada@example.com")

    assert (get_verified_addresses(user), get_addresses(user)) == (set(), {"ada@example.com"})
    settings.CLOSIENT_AUTH = {"VERIFIED_ADDRESSES": f"{__name__}.find_addresses"}
    verified = {"ada@work.example", "ada@xn--bcher-kva.example"}
    assert (get_verified_addresses(user), get_addresses(user)) == (verified, {"ada@example.com", *verified})


def test_setting_that_names_no_function(db, settings):
    settings.CLOSIENT_AUTH = {"VERIFIED_ADDRESSES": "missing.module"}

    with pytest.raises(ImproperlyConfigured, match="VERIFIED_ADDRESSES"):
        get_addresses(UserFactory.build())
