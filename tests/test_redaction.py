from __future__ import annotations

import base64
import io
import json
import logging
import random
import subprocess
import sys
import traceback
import uuid
from itertools import count
from types import MappingProxyType
from urllib.parse import quote, urlencode
from zlib import crc32

import pytest
from django.http import QueryDict
from django.test import RequestFactory
from django.utils.safestring import mark_safe
from hypothesis import given
from hypothesis import strategies as st
from pythonjsonlogger.json import JsonFormatter

from closient_auth.keys import BODY_ALPHABET, KeyType, generate_api_key, verify_api_key
from closient_auth.redaction import RedactKeysFilter, redact_api_keys, redact_event

# The checksum covers the body only.
KEYS = {key_type: f"{key_type}_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEf_84041098" for key_type in KeyType.values}
KEY = KEYS["csb"]
MARK = "csb_[redacted]"
# A copy of a record reaches the handler from Python 3.12. See RedactKeysFilter.
SUPPORTS_COPIES = sys.version_info >= (3, 12)


@pytest.mark.parametrize("key_type", KeyType.values)
@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "X-API-Key: {}\r\nHost: example.com",
        "X-Acme-Client={}",
        "GET /projects/?api_key={}&page=2 HTTP/1.1",
        "https://user:{}@example.com/{}/",
        "%22{}%22",
        "key%3D{}%26page%3D2",
        '{{"key": "{}"}}',
        r"{{\"key\": \"{}\"}}",
        "b'{}'",
        "('x-api-key', '{}')",
        "[(b'x-api-key', b'{}')]",
        "<code>{}</code>",
        "`{}`, «{}»; {}",
        "abc{}xyz",
        "_{}_0",
        "0{}0",
        "{}{}",
        "{}_{}",
        "csb_{}",
        "é{}é\ud800\x00",
    ],
)
def test_key_is_replaced(key_type, text):
    assert redact_api_keys(text.replace("{}", KEYS[key_type])) == text.replace("{}", f"{key_type}_[redacted]")


def test_encodings_that_keep_the_key_keep_the_mark():
    assert redact_api_keys(urlencode({"q": f'"{KEY}"'})) == f"q=%22{quote(MARK, safe='[]')}%22"
    assert json.loads(redact_api_keys(json.dumps({"a": [KEY, "é"]}))) == {"a": [MARK, "é"]}
    assert redact_api_keys(repr(f"{KEY}\n".encode())) == repr(f"{MARK}\n".encode())


@given(
    st.lists(st.one_of(st.text(max_size=40), st.sampled_from(KeyType.values).map(generate_api_key), st.just("csb_")))
)
def test_no_key_is_missed(parts):
    text = redact_api_keys("".join(parts))

    assert [part for part in parts if verify_api_key(part) and part in text] == []
    assert redact_api_keys(text) == text


@pytest.mark.parametrize("length", range(1, 45))
def test_cut_key_in_front_of_a_key_does_not_hide_it(length):
    assert redact_api_keys(KEYS["csu"][:length] + KEY) == KEYS["csu"][:length] + MARK


def with_checksum(body):
    return f"csb_{body}_{crc32(body.encode()):08x}"


def test_match_with_a_wrong_checksum_does_not_hide_a_key():
    """The match begins in front of the key and ends inside it."""
    key = with_checksum("0" * 32)

    # The body of the match ends with the prefix of the key, or its checksum with the first letter of the key.
    for text in (f"csb_{'x' * 29}", f"csb_{'x' * 32}_0000000"):
        assert redact_api_keys(text + key) == text + MARK


def test_overlapping_keys_are_both_replaced():
    """The last character of the first key is the first one of the second."""
    keys = (with_checksum(f"{number:032}") for number in count())
    first = next(key for key in keys if key.endswith("c"))

    assert redact_api_keys(first[:-1] + KEY) == MARK + MARK


def make_harmless_lines(wanted):
    """Yield lines without a key; most contain a part of one."""
    source = random.Random(12)

    def draw(length, alphabet=BODY_ALPHABET):
        return "".join(source.choices(alphabet, k=length))

    def with_wrong_checksum():
        body = draw(32)
        checksum = draw(8, "0123456789abcdef")
        return f"{source.choice(KeyType.values)}_{body}_{checksum}"

    makers = [
        lambda: str(uuid.UUID(int=source.getrandbits(128))),
        lambda: f"commit {source.getrandbits(160):040x}",
        lambda: f"sha256:{source.getrandbits(256):064x}",
        lambda: base64.b64encode(source.randbytes(90)).decode(),
        lambda: base64.urlsafe_b64encode(source.randbytes(90)).decode(),
        with_wrong_checksum,
        lambda: f"{with_wrong_checksum()}{with_wrong_checksum()}",
        lambda: f"csb_{draw(source.randrange(64))}_{draw(8, '0123456789abcdef')}",
        lambda: f"csx_{KEY[4:]}",
        lambda: KEY[: source.randrange(45)],
        lambda: KEY[source.randrange(1, 45) :],
        lambda: KEY.upper(),
        lambda: f"the_csb_table.cpk_{draw(32)} csu_hint=csu_{draw(4)}",
        lambda: f'"GET /projects/{source.randrange(10**6)}/?csb_page=2 HTTP/1.1" 200 {source.randrange(10**5)}',
    ]
    for number in range(wanted):
        yield makers[number % len(makers)]()


@pytest.mark.sqlite
@pytest.mark.unmeasured
def test_no_false_positive_in_a_million_lines():
    changed = [line for line in make_harmless_lines(1_000_000) if redact_api_keys(line) is not line]

    assert changed == []


@pytest.mark.parametrize(
    "text", ["csb_" * 250_000, KEY[:-1] * 22_000, f"csb_{'a' * 32}_12345678" * 22_000, f"csb_{'a' * 29}" * 30_000]
)
def test_search_is_linear_in_hostile_text(text, monkeypatch):
    """The checksum is computed at most once for each match, so for at most one of four characters."""
    verified: list[str] = []
    monkeypatch.setattr("closient_auth.redaction.verify_api_key", verified.append)

    assert redact_api_keys(text) is text
    assert len(verified) <= len(text) / 4


class Broken:
    def __str__(self):
        raise RuntimeError(KEY)


class Told:
    """An object with the key in its representation only, or in its text only."""

    def __init__(self, text, representation):
        self.text, self.representation = text, representation

    def __str__(self):
        return self.text

    def __repr__(self):
        return self.representation

    def __int__(self):
        return 7

    __index__ = __int__


@pytest.fixture
def log():
    """Return a function to log with the filter. It returns the handled record, the text, and the caller's record."""
    logger = logging.Logger("test")
    plain, filtered, before = Keeper(), Keeper(), Keeper()
    filtered.addFilter(RedactKeysFilter())
    for handler in (before, filtered, plain):
        logger.addHandler(handler)

    def log(*args, **kwargs):
        logger.error(*args, **kwargs)
        return filtered, plain

    return log


class Keeper(logging.StreamHandler):  # type: ignore[type-arg]
    def __init__(self):
        super().__init__(io.StringIO())

    def emit(self, record):
        self.record = record
        super().emit(record)

    @property
    def text(self):
        return self.stream.getvalue()

    def dump(self):
        """Return all that a formatter could write."""
        return f"{self.text}\n{vars(self.record)!r}\n{JsonFormatter().format(self.record)}"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ([f"key={KEY}"], f"key={MARK}"),
        (["key=%s", KEY], f"key={MARK}"),
        (["key=%r of %d", KEY, 3], f"key='{MARK}' of 3"),
        (["key=%(key)s %(number)03d", {"key": KEY, "number": 7}], f"key={MARK} 007"),
        (["%s", {"headers": {"X-Acme-Client": KEY}}], f"{{'headers': {{'X-Acme-Client': '{MARK}'}}}}"),
        (["%s", {KEY: 1}], f"{{'{MARK}': 1}}"),
        (["%s", [KEY, (KEY.encode(), {KEY})]], f"['{MARK}', (b'{MARK}', {{'{MARK}'}})]"),
        (["%s", bytearray(KEY, "ascii")], f"bytearray(b'{MARK}')"),
        (["%s", b"\xff" + KEY.encode()], f"b'\\xff{MARK}'"),
        (["%s", RuntimeError(KEY)], MARK),
        (["%r", RuntimeError(KEY)], f"RuntimeError('{MARK}')"),
        (["%d %s", Told(KEY, "x"), 1], "7 1"),
        (["%(a)d", {"a": Told("x", KEY), "b": KEY}], "7"),
        (["csb_%s", KEY[4:]], MARK),
        (["%.10s", KEY], KEY[:10]),
        (["%s", QueryDict(f"a={KEY}&a=2")], f"<QueryDict: {{'a': ['{MARK}', '2']}}>"),
        (["%s", mark_safe(KEY)], MARK),
        (["100 %"], "100 %"),
        ([f"100 % {KEY}"], f"100 % {MARK}"),
        ([RuntimeError(KEY)], MARK),
        ([{"key": KEY}], f"{{'key': '{MARK}'}}"),
        ([12], "12"),
    ],
)  # fmt: skip
def test_message_has_no_key(log, args, text):
    filtered, plain = log(*args)

    assert filtered.text == f"{text}\n"
    assert KEY not in filtered.dump()
    if SUPPORTS_COPIES:
        assert plain.record.msg is args[0]
        assert plain.text == f"{plain.record.getMessage()}\n"


def test_args_stay_apart_from_the_message(log):
    """A handler that groups records by their message, such as Sentry's, still finds the message."""
    filtered, _ = log("%s %d %s", KEY, 3, None)

    assert (filtered.record.msg, filtered.record.args) == ("%s %d %s", (MARK, 3, None))


def test_record_without_a_key_is_the_same(log):
    value = {"a": [1, (2.5, None, {True}), frozenset("b"), b"c", bytearray(b"d"), Told("e", "f"), MappingProxyType({})]}
    try:
        raise RuntimeError("No key")
    except RuntimeError:
        filtered, plain = log("%s", value, extra={"extra": value}, stack_info=True, exc_info=True)

    assert filtered.record is plain.record
    assert filtered.record.args == value
    assert filtered.text == plain.text


def test_other_handlers_get_the_original(log):
    request = RequestFactory().get("/", {"key": KEY})
    filtered, plain = log("%s", KEY, extra={"request": request, "headers": {"X-Acme-Client": KEY}})

    assert KEY not in filtered.dump()
    if SUPPORTS_COPIES:
        assert plain.text == f"{KEY}\n"
        assert plain.record.request is request
        assert plain.record.headers == {"X-Acme-Client": KEY}
        assert type(filtered.record) is type(plain.record)
    else:
        assert filtered.record is plain.record
    assert request.GET["key"] == KEY


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (KEY, MARK),
        ({"a": {"b": [KEY, b"x" + KEY.encode()]}}, {"a": {"b": [MARK, b"x" + MARK.encode()]}}),
        ({KEY: {KEY: 1}}, {MARK: {MARK: 1}}),
        ((1, frozenset({KEY})), (1, frozenset({MARK}))),
        (Told("x", f"<{KEY}>"), f"<{MARK}>"),
        (Told(f"<{KEY}>", "x"), f"<{MARK}>"),
        (MappingProxyType({"a": KEY}), f"{{'a': '{MARK}'}}"),
        (QueryDict(f"a={KEY}&a=2"), {"a": [MARK, "2"]}),
        (Broken(), "[unreadable: RuntimeError]"),
    ],
)
def test_extra_has_no_key(log, value, expected):
    filtered, _ = log("No key", extra={"value": value})

    assert filtered.record.value == expected
    assert KEY not in filtered.dump()
    assert filtered.text == "No key\n"


def test_name_in_extra_has_no_key(log):
    filtered, _ = log("No key", extra={KEY: 1})

    assert KEY not in filtered.dump()
    assert vars(filtered.record)[MARK] == 1


def test_value_that_contains_itself(log):
    harmless: list[object] = [1]
    harmless.append(harmless)
    leaky: list[object] = [KEY]
    leaky.append(leaky)
    filtered, _ = log("No key", extra={"harmless": harmless, "leaky": leaky})

    assert filtered.record.harmless is harmless
    assert filtered.record.leaky == f"['{MARK}', [...]]"


def test_value_that_is_nested_too_deeply(log):
    value: list[object] = [KEY]
    for _ in range(100_000):
        value = [value]
    filtered, _ = log("No key", extra={"value": value})

    assert filtered.record.value == "[unreadable: RecursionError]"
    assert filtered.text == "No key\n"
    # The garbage collector would unpack the value recursively.
    while isinstance(value[0], list):
        value = value[0]


def raise_chain():
    try:
        raise KeyError(KEY)
    except KeyError as error:
        raise RuntimeError("No key") from error


def raise_context():
    try:
        raise_message()
    finally:
        raise RuntimeError("No key")


def raise_group():
    raise ExceptionGroup("No key", [ValueError(KEY)])


def raise_note():
    error = RuntimeError("No key")
    error.add_note(KEY)
    raise error


class Quiet(Exception):
    def __str__(self):
        return "No key"


def raise_message():
    raise RuntimeError(KEY)


def raise_arguments():
    raise Quiet(KEY)


@pytest.mark.parametrize(
    "function", [raise_message, raise_arguments, raise_chain, raise_context, raise_group, raise_note]
)
def test_traceback_has_no_key(log, function):
    try:
        function()
    except Exception as error:
        expected = traceback.format_exc().replace(KEY, MARK)
        filtered, plain = log("Failed", exc_info=True)
        raised = error

    assert filtered.text == f"Failed\n{expected}"
    assert plain.record.exc_info == ((type(raised), raised, raised.__traceback__) if SUPPORTS_COPIES else None)
    assert filtered.record.exc_info is None
    assert KEY not in filtered.dump()


def test_traceback_that_another_handler_formatted(log):
    record = logging.makeLogRecord({"msg": "Failed", "exc_text": f"RuntimeError: {KEY}"})
    filtered, _ = log("No key")

    assert filtered.handle(record)
    assert filtered.text.endswith(f"RuntimeError: {MARK}\n")


def test_exc_info_that_cannot_be_formatted(log):
    record = logging.makeLogRecord({"msg": "Failed", "exc_info": ("RuntimeError", KEY)})
    filtered, _ = log("No key")

    assert filtered.handle(record)
    assert filtered.text == "No key\nFailed\n[unreadable: IndexError]\n"
    assert KEY not in filtered.dump()


def test_stack_has_no_key(log):
    filtered, _ = log("No key")
    record = logging.makeLogRecord({"msg": "No key", "stack_info": f'  File "x.py", line 1, in x\n    f("{KEY}")'})

    assert filtered.handle(record)
    assert KEY not in filtered.dump()
    assert MARK in filtered.text


@pytest.mark.parametrize(
    "args", [("%d", KEY), ("%s %s", KEY), ("%(a)s", KEY), (f"%({KEY})s", {"a": 1}), ("No key", KEY)]
)
def test_record_that_cannot_be_rendered(log, args, capsys):
    """``Handler.handleError()`` prints the message and its arguments to stderr."""
    filtered, _ = log(*args)

    reports = capsys.readouterr().err.split("--- Logging error ---")[1:]
    redacted = [report for report in reports if KEY not in report]
    assert len(reports) == 3
    assert len(redacted) == (1 if SUPPORTS_COPIES else 2)
    assert "[redacted]" in redacted[0]


def test_record_with_a_broken_argument(log, capsys):
    filtered, _ = log("%s", Broken())

    assert filtered.text == "[unreadable: RuntimeError]\n"


def test_record_of_another_class():
    """Some packages render messages with ``str.format()``."""

    class BraceRecord(logging.LogRecord):
        def getMessage(self):
            return self.msg.format(*(self.args or ()))

    record = BraceRecord("test", logging.INFO, "x.py", 1, "{} of {}", (KEY, 3), None)
    handled = RedactKeysFilter().filter(record)

    assert isinstance(handled, BraceRecord)
    assert handled.getMessage() == f"{MARK} of 3"
    assert handled.args == (MARK, 3)


def test_filter_of_a_logger(log):
    logger = logging.Logger("test")
    logger.addFilter(RedactKeysFilter())
    logger.addHandler(handler := Keeper())

    logger.info("%s", KEY)

    assert handler.text == f"{MARK}\n"


def test_event():
    event = {"request": {"headers": {"X-Acme-Client": KEY}, KEY: 1}, "spans": [{"data": KEY.encode()}], "time": 1.5}

    assert redact_event(event, {}) == {
        "request": {"headers": {"X-Acme-Client": MARK}, MARK: 1},
        "spans": [{"data": MARK.encode()}],
        "time": 1.5,
    }
    assert event["request"]["headers"]["X-Acme-Client"] == KEY  # type: ignore[index]
    harmless = {"message": "No key"}
    assert redact_event(harmless, {}) is harmless


def test_importable_before_settings_are_configured():
    program = (
        "from django.conf import settings; from closient_auth import redaction;"
        "redaction.redact_api_keys('x'); redaction.RedactKeysFilter(); assert not settings.configured;"
        "import sys; assert 'rest_framework' not in sys.modules and 'sentry_sdk' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(sys.path)}, timeout=60)
