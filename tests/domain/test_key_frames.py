"""No variable in a traceback holds a raw key: some error reporters ignore Django's ``sensitive_variables``."""

from __future__ import annotations

import traceback
from datetime import timedelta
from itertools import product

import pytest
from django.db import OperationalError, connection

from closient_auth.keys import generate_api_key
from closient_auth.models import ApiKey
from tests.factories import make_key


@pytest.fixture
def canary(monkeypatch):
    """Return a list with the raw key of the next creation; the list keeps the key out of the frame of the test."""
    key = [generate_api_key("csb")]
    monkeypatch.setattr("closient_auth.models.api_keys.generate_api_key", lambda prefix: key[0])
    return key


@pytest.fixture
def fail_at():
    """Return a context manager: SQL statements with this start raise ``OperationalError``."""

    def fail_at(start):
        def fail(execute, sql, params, many, context):
            if sql.translate(str.maketrans("", "", '"`')).startswith(start):
                raise OperationalError("The database is away.")
            return execute(sql, params, many, context)

        return connection.execute_wrapper(fail)

    return fail_at


def read_frames(error):
    """Yield the variables of all frames in the traceback, except the frames of the tests."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "/tests/" not in frame.f_code.co_filename:
                yield from map(repr, frame.f_locals.values())
        error = error.__context__


OPERATIONS = {
    "create": lambda key: make_key(organization=key.organization),
    "rotate": lambda key: key.rotate(),
    "rotate with a grace": lambda key: key.rotate(grace=timedelta(days=1)),
}
STATEMENTS = {
    "key": "INSERT INTO closient_auth_apikey",
    "trail": "INSERT INTO closient_auth_auditentry",
    "old key": "UPDATE closient_auth_apikey SET",
}


@pytest.mark.parametrize(
    ("operation", "statement"), [pair for pair in product(OPERATIONS, STATEMENTS) if pair != ("create", "old key")]
)
def test_failure_shows_no_raw_key(organization, canary, fail_at, operation, statement):
    key, _ = ApiKey.objects.create_key(prefix="csb", organization=organization)
    canary[:] = [generate_api_key("csb")]

    with fail_at(STATEMENTS[statement]), pytest.raises(OperationalError) as caught:
        OPERATIONS[operation](key)

    frames = list(read_frames(caught.value))
    assert len(frames) > 10
    assert not [text for text in frames if canary[0][4:36] in text]


def test_old_key_ends_before_the_new_one_is_made(organization):
    key, _ = make_key(organization=organization)
    order = []

    def note(execute, sql, params, many, context):
        order.append(sql.split(" SET ")[0].translate(str.maketrans("", "", '"`')))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        key.rotate()

    written = [text for text in order if "closient_auth_apikey" in text and text.startswith(("UPDATE", "INSERT"))]
    assert written[-1].startswith("INSERT INTO closient_auth_apikey")
