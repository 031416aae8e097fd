"""Faces behind middleware and settings of Django that concern every view."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.db import connections

from closient_auth.models import ApiKey
from tests.faces.faces import FACES
from tests.factories import make_key

pytestmark = pytest.mark.django_db


def test_login_required_middleware(send, face, acme, editor, settings):
    """Keys pass it, and a request without a credential gets a 401. Some frameworks do not exempt their views from it."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    _, raw_key = make_key("csb", organization=acme)

    statuses = [send("/view/", raw_key).status_code, send("/open/").status_code]

    if face.passes_login_required:
        assert statuses == [HTTPStatus.OK, HTTPStatus.UNAUTHORIZED]
    else:
        assert statuses == [HTTPStatus.FOUND, HTTPStatus.FOUND]
    assert send("/view/", user=editor).status_code == HTTPStatus.OK


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("face", [face for face in FACES if not face.is_async], indirect=True, ids=str)
@pytest.mark.parametrize("server", ["wsgi"], indirect=True)
def test_last_used_survives_the_rollback_of_a_transaction(send, acme, editor, monkeypatch):
    """Django runs no async view in a transaction, and threads share no SQLite database in memory."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)

    for prefix in ("csb", "csu"):
        api_key, raw_key = make_key(prefix, **({"user": editor} if prefix == "csu" else {"organization": acme}))
        for path, status in [("/errors/404/", HTTPStatus.NOT_FOUND), ("/view/", HTTPStatus.OK)]:
            assert send(path, raw_key).status_code == status
            assert ApiKey.objects.filter(pk=api_key.pk, last_used__isnull=False).update(last_used=None) == 1
