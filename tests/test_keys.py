from __future__ import annotations

import random
import re
import string
import subprocess
import sys
import zlib
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closient_auth.keys import (
    BODY_ALPHABET,
    KeyType,
    find_api_keys,
    generate_api_key,
    get_hint,
    hash_api_key,
    verify_api_key,
)

ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
LOWER_HEX = "0123456789abcdef"
BODY = "AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEf"
# GOOD has the correct CRC-32 of the body. The sample in the specification does not.
GOOD = f"csb_{BODY}_84041098"
SAMPLE = f"csb_{BODY}_1a2b3c4d"

bodies = st.text(ALPHANUMERIC, min_size=32, max_size=32)
keys = st.builds(
    lambda prefix, body: f"{prefix}_{body}_{zlib.crc32(body.encode()):08x}",
    st.sampled_from(["csb", "csu", "cpk"]),
    bodies,
)
# Characters to insert: printable ASCII, including spaces accepted by other parsers, and any Unicode character.
characters = st.one_of(st.sampled_from(string.printable), st.characters())


def specified_verify_api_key(api_key: str) -> bool:
    """The reference implementation in the specification, "Key Format"."""
    parts = api_key.split("_")
    if len(parts) != 3:
        return False
    prefix, body, checksum = parts
    if prefix not in ("csb", "csu", "cpk"):
        return False
    expected = format(zlib.crc32(body.encode("utf-8")) & 0xFFFFFFFF, "08x")
    return checksum == expected


@pytest.mark.parametrize("key_type", ["csb", "csu", "cpk"])
def test_generated_key_has_the_specified_form(key_type):
    for _ in range(300):
        key = generate_api_key(key_type)
        assert re.fullmatch(rf"{key_type}_[A-Za-z0-9]{{32}}_[0-9a-f]{{8}}", key)
        assert verify_api_key(key)
        assert specified_verify_api_key(key)


def test_type_may_be_given_as_member_or_as_prefix():
    assert generate_api_key(KeyType.USER).startswith("csu_")
    assert [member.value for member in KeyType] == ["csb", "csu", "cpk"]


@pytest.mark.parametrize("key_type", ["", "CSB", "csx", "csb_", None, 1])
def test_unknown_type_is_an_error(key_type):
    with pytest.raises(ValueError, match="is not a valid KeyType"):
        generate_api_key(key_type)


def test_body_is_drawn_from_62_symbols_by_the_operating_system():
    assert sorted(BODY_ALPHABET) == sorted(ALPHANUMERIC)
    drawn = []
    for _ in range(600):
        # A seeded generator would return the same body each time.
        random.seed(1)
        drawn.append(generate_api_key("csb").split("_")[1])
    assert len(set(drawn)) == len(drawn)
    # With 600 * 32 draws, the probability to miss one of 62 symbols is less than 1e-130.
    assert set("".join(drawn)) == set(ALPHANUMERIC)


@given(keys)
def test_well_formed_key_is_accepted(key):
    assert verify_api_key(key)
    assert specified_verify_api_key(key)


def test_good_key_by_hand():
    assert verify_api_key(GOOD)


def test_sample_key_of_the_specification_is_refused():
    assert not verify_api_key(SAMPLE)
    assert not specified_verify_api_key(SAMPLE)


@given(keys, st.data())
def test_one_replaced_character_is_refused(key, data):
    position = data.draw(st.integers(4, len(key) - 1))
    character = data.draw(characters.filter(lambda character: character != key[position]))

    assert not verify_api_key(key[:position] + character + key[position + 1 :])


@given(keys, st.data())
def test_one_inserted_character_is_refused(key, data):
    position = data.draw(st.integers(0, len(key)))

    assert not verify_api_key(key[:position] + data.draw(characters) + key[position:])


@given(keys, st.data())
def test_one_deleted_character_is_refused(key, data):
    position = data.draw(st.integers(0, len(key) - 1))

    assert not verify_api_key(key[:position] + key[position + 1 :])


def test_every_replacement_in_one_key_is_refused():
    for position in range(4, len(GOOD)):
        for character in set(string.printable) - {GOOD[position]}:
            assert not verify_api_key(GOOD[:position] + character + GOOD[position + 1 :])


@pytest.mark.parametrize("prefix", ["csu", "cpk"])
def test_changed_prefix_passes_the_format_and_changes_the_hash(prefix):
    changed = prefix + GOOD[3:]

    assert verify_api_key(changed)
    assert hash_api_key(changed) != hash_api_key(GOOD)


@given(st.text())
def test_no_other_text_is_accepted(text):
    assert not verify_api_key(text)


def with_checksum(body):
    """Return a key with a valid checksum, so only the body can be refused."""
    return f"csb_{body}_{zlib.crc32(body.encode()):08x}"


@pytest.mark.parametrize(
    "key",
    [
        with_checksum("A" * 31),
        with_checksum("A" * 33),
        with_checksum(""),
        with_checksum("A" * 31 + "-"),
        with_checksum("A" * 31 + " "),
        with_checksum("A" * 31 + "\n"),
        with_checksum("A" * 31 + "\x00"),
        with_checksum("A" * 31 + "é"),
        with_checksum("A" * 31 + "\N{FULLWIDTH LATIN CAPITAL LETTER A}"),
        with_checksum("A" * 31 + "\N{ARABIC-INDIC DIGIT ONE}"),
        with_checksum("A" * 31 + "\N{KELVIN SIGN}"),
    ],
)
def test_body_of_another_form_is_refused_though_its_checksum_is_right(key):
    assert not verify_api_key(key)


# The CRC-32 of this body begins with zeros, so ``int()`` accepts other spellings of it with eight characters.
SMALL = "ujOeHwdFcAefAZhnM6Jy8c1rihtY6Uvy"


@pytest.mark.parametrize(
    "checksum",
    [
        "0x06e4be",
        "0X06e4be",
        "+006e4be",
        "00_6e4be",
        "0_06e4be",
        " 006e4be",
        "006e4be ",
        "6e4be",
        "0006E4BE",
        "-006e4be",
    ],
)
def test_checksum_has_one_spelling(checksum):
    assert zlib.crc32(SMALL.encode()) == 0x0006E4BE
    assert verify_api_key(f"csb_{SMALL}_0006e4be")
    assert not verify_api_key(f"csb_{SMALL}_{checksum}")


@pytest.mark.parametrize(
    "key",
    [
        GOOD + "\n",
        "\n" + GOOD,
        GOOD + " ",
        " " + GOOD,
        GOOD + "\x00",
        GOOD + ", " + GOOD,
        GOOD.upper(),
        GOOD.lower(),
        GOOD[:-8] + GOOD[-8:].translate(str.maketrans("0123456789", "０１２３４５６７８９")),
        "CSB" + GOOD[3:],
        "csx" + GOOD[3:],
        GOOD[3:],
        GOOD[4:],
        GOOD.replace("_", "-"),
        GOOD.replace("_", "__"),
        GOOD.replace("_", "\N{FULLWIDTH LOW LINE}"),
        GOOD + "_",
        "_" + GOOD,
        "ApiKey " + GOOD,
        "",
        "_",
        "__",
        "csb__",
        "A" * 1_000_000,
        "\ud800" * 45,
    ],
)
def test_other_spelling_of_a_good_key_is_refused(key):
    assert not verify_api_key(key)


@pytest.mark.parametrize(
    "value", [GOOD.encode(), bytearray(GOOD.encode()), None, 0, 1.5, True, [GOOD], {GOOD}, object()]
)
def test_what_is_no_text_is_no_key(value):
    assert verify_api_key(value) is False


@given(keys, keys, st.text(characters, max_size=3), st.text(characters, max_size=3))
def test_keys_are_found_in_text_as_whole_words(first, second, before, after):
    is_whole = not re.search(r"\w\Z", before) and not re.match(r"\w", after)

    assert find_api_keys(f"{before}{first}{after}") == ({first} if is_whole else set())
    assert find_api_keys(f"X-API-Key: {first}, {second}; {first}") == {first, second}
    assert find_api_keys(f"{SAMPLE} {first[:-1]} {first.upper()}") == set()


@given(keys)
def test_hash_is_sha256_of_the_whole_key(key):
    assert hash_api_key(key) == sha256(key.encode("ascii")).hexdigest()
    assert re.fullmatch("[0-9a-f]{64}", hash_api_key(key))


def test_hash_of_a_known_key():
    # printf csb_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEf_84041098 | sha256sum
    assert hash_api_key(GOOD) == "e68413c24e7bd7b1fdcb437bcbd71c85d79647dd4d26dec49601ba6eda218883"


def test_hint_is_the_beginning_of_the_body():
    assert get_hint(GOOD) == "AbCd"


def test_importable_before_settings_are_configured():
    program = (
        "from django.conf import settings; from closient_auth import keys;"
        "assert keys.verify_api_key(keys.generate_api_key('csb')); keys.hash_api_key('x');"
        "assert not settings.configured; import sys; assert 'rest_framework' not in sys.modules"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}

    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=60)
