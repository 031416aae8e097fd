"""Arbitrary bytes in a header lead to a documented response, and are not logged or echoed."""

from __future__ import annotations

import logging
import re
from http import HTTPStatus

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from closient_auth.core import reports
from closient_auth.keys import generate_api_key, verify_api_key
from closient_auth.models import ApiKey
from tests.factories import MembershipFactory, make_key

pytestmark = [pytest.mark.django_db, pytest.mark.unmeasured]

REFUSED = {"detail": "Invalid API key.", "code": "invalid_api_key"}
properties = settings(
    deadline=None,
    # The database does not matter much, so the servers repeat only a part.
    max_examples=200 if connection.vendor == "sqlite" else 50,
    # The fixtures run once for all examples. No example changes their state.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# A WSGI server passes bytes as latin-1. A broken server might pass any text, surrogates or bytes.
header_values = st.one_of(
    st.binary().map(lambda value: value.decode("latin-1")),
    st.text(st.characters(codec=None)),
    st.text("csbupk_0123456789abcdefABCDEF \t\r\n\0,;=\"'\\%", max_size=60),
    st.binary(),
    st.text("aA0", min_size=1, max_size=8).map(lambda text: text * 5000),
)


@pytest.fixture
def lines(caplog):
    """Return a function to get the messages logged since its last call."""
    caplog.set_level(logging.DEBUG, "closient_auth")

    def lines():
        messages = [record.getMessage() for record in caplog.records if record.name == "closient_auth"]
        caplog.clear()
        return messages

    return lines


def send(address, **meta):
    """Put the values into ``META`` unchanged, since a client would refuse some of them."""
    reports._due.clear()
    with CaptureQueriesContext(connection) as queries:
        response = Client().get(address, **meta)
    return response, queries


@properties
@given(header_values)
@example("")
@example("\0")
@example("\ud800")
@example("csb_" + "\uff21" * 32 + "_00000000")
@example("csb_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEf_1a2b3c4d")
def test_any_key_header(lines, value):
    assume(not verify_api_key(value))

    response, queries = send("/public/", HTTP_X_API_KEY=value)

    assert (response.status_code, response.json()) == (HTTPStatus.UNAUTHORIZED, REFUSED)
    assert len(queries) == 0
    assert lines() == ["api_key=refused cause=malformed number=1"]


@st.composite
def edits(draw):
    """Return a function to change a key at one place."""
    place, text = draw(st.integers(0, 45)), draw(st.text(st.characters(codec=None), max_size=3))
    cut = draw(st.integers(0, 3))
    return lambda raw_key: raw_key[:place] + text + raw_key[place + cut :]


@properties
@given(edits())
@example(lambda raw_key: raw_key + "\n")
@example(lambda raw_key: raw_key + "\0")
@example(lambda raw_key: " " + raw_key)
@example(lambda raw_key: raw_key.upper())
@example(lambda raw_key: raw_key.replace("csb", "csu"))
@example(lambda raw_key: f"{raw_key}, {raw_key}")
def test_any_edit_of_a_live_key(lines, edit):
    _, raw_key = make_key("csb")
    edited = edit(raw_key)
    assume(edited != raw_key)

    response, queries = send("/public/", HTTP_X_API_KEY=edited)

    assert (response.status_code, response.json()) == (HTTPStatus.UNAUTHORIZED, REFUSED)
    assert len(queries) == verify_api_key(edited)
    cause = "unknown" if verify_api_key(edited) else "malformed"
    assert lines() == [f"api_key=refused cause={cause} number=1"]
    assert not ApiKey.objects.filter(last_used__isnull=False).exists()


@properties
@given(st.sampled_from(["csb", "csu", "cpk"]))
def test_any_key_that_nobody_holds(lines, prefix):
    response, queries = send("/who/", HTTP_X_API_KEY=generate_api_key(prefix))

    assert (response.status_code, response.json()) == (HTTPStatus.UNAUTHORIZED, REFUSED)
    assert len(queries) == 1
    assert lines() == ["api_key=refused cause=unknown number=1"]


@properties
@given(header_values.filter(lambda value: isinstance(value, str)))
@example("\0")
@example("\ud800" * 32)
@example("{" + "0" * 32 + "}")
@example("urn:uuid:" + "f" * 32)
@example("\uff11" * 32)
@example("9" * 5000)
@pytest.mark.parametrize("prefix", ["csb", "csu"])
def test_any_organization_header(lines, prefix, value):
    member = MembershipFactory.create()
    holder = {"user": member.user} if prefix == "csu" else {"organization": member.organization}
    _, raw_key = make_key(prefix, **holder)

    response, _ = send("/organization/", HTTP_X_API_KEY=raw_key, HTTP_X_ORGANIZATION=value)

    assert (response.status_code, response.json()) == (HTTPStatus.NOT_FOUND, {"detail": "Not found."})
    (line,) = lines()
    assert re.fullmatch(
        r"api_key=refused cause=organization [\w=/ -]+ method=GET route=/organization/ request_id=-", line
    )
