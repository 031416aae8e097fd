from __future__ import annotations

from importlib.metadata import requires
from io import BytesIO

import django
import pytest
from django.core.checks import WARNING
from django.core.handlers.asgi import ASGIRequest
from django.utils.version import get_version

HOLES = [(5, 2, 0), (5, 2, 12), (5, 2, 17), (6, 0, 0), (6, 0, 8), (6, 1, 0), (6, 1, 1)]
SAFE = [(5, 2, 18), (5, 2, 19), (6, 0, 9), (6, 1, 2), (6, 2, 0), (7, 0, 0)]


def install(monkeypatch, version):
    monkeypatch.setattr(django, "VERSION", (*version, "final", 0))
    monkeypatch.setattr(django, "get_version", lambda: get_version(django.VERSION))


@pytest.mark.parametrize("version", HOLES)
def test_django_with_a_hole(find, monkeypatch, version):
    install(monkeypatch, version)

    message = find("W019")

    safe = {(5, 2): "5.2.18", (6, 0): "6.0.9", (6, 1): "6.1.2"}[version[:2]]
    assert message.level == WARNING
    assert message.msg == f"Django should be {safe} or later, not {django.get_version()}."
    assert message.hint.startswith(f"Install django>={safe}. ")


@pytest.mark.parametrize("version", SAFE)
def test_django_without_a_known_hole(run, monkeypatch, version):
    install(monkeypatch, version)

    assert run() == []


def test_the_package_requires_the_oldest_of_them():
    assert {"django>=5.2.18", "djangorestframework>=3.18.2"} <= set(requires("closient-auth") or ())


def test_the_header_has_one_spelling_with_asgi():
    """The hole of Django 5.2.12 and 6.0.3: ``X_API_Key`` passed proxies that remove or log ``X-API-Key``."""
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [(b"x_api_key", b"csb_")]}

    assert "HTTP_X_API_KEY" not in ASGIRequest(scope, BytesIO()).META
