"""The settings in docs/production.md load, pass the system checks and connect."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest
from django.db import connection, connections

from tests.checkout import ROOT
from tests.served.servers import get_environment

PAGE = (ROOT / "docs" / "production.md").read_text()
SERVERS = ["WSGI", "ASGI"]
needs_driver = pytest.mark.skipif(find_spec("psycopg_pool") is None, reason="needs psycopg and its pool")
SETTINGS = """
from tests.settings import *

DEBUG = False
SILENCED_SYSTEM_CHECKS = []
"""


def get_block(title: str) -> str:
    block: str
    (block,) = re.findall(rf"^```python\n(# settings.py for {title}.*?)^```$", PAGE, re.M | re.S)
    return block


@pytest.fixture(params=SERVERS)
def server(request):
    return request.param


def check(folder, server, text):
    (folder / "production_settings.py").write_text(f'{SETTINGS}\n{server}_APPLICATION = "shop.application"\n{text}')
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "django", "check", "--fail-level", "WARNING"],
        cwd=ROOT,
        env=get_environment(folder) | {"DJANGO_SETTINGS_MODULE": "production_settings"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@needs_driver
def test_checks_are_silent(tmp_path, server):
    checked = check(tmp_path, server, get_block(f"{server},") + get_block("WSGI and ASGI"))

    assert (checked.stdout, checked.stderr) == ("System check identified no issues (0 silenced).\n", "")


@needs_driver
def test_checks_name_the_other_database_settings(tmp_path):
    checked = check(tmp_path, "ASGI", get_block("WSGI,") + get_block("WSGI and ASGI"))

    assert checked.returncode != 0
    assert set(re.findall(r"closient_auth\.(\w+)\)", checked.stderr)) == {"W023"}


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL")
@needs_driver
def test_database_settings_connect(server):
    names: dict[str, Any] = {}
    exec(get_block(f"{server},"), names)
    settings = names["DATABASES"]["default"]
    # Django's own database, because that of the tests may not exist yet.
    configured = {**connection.settings_dict, **settings, "NAME": "postgres"}
    wrapper: Any = type(connections["default"])(configured, "production")
    try:
        for _ in range(2):
            with wrapper.cursor() as cursor:
                cursor.execute("SELECT 1")
                assert cursor.fetchone() == (1,)
            wrapper.close_if_unusable_or_obsolete()
        # The pool has the connection again; otherwise, it stays open.
        assert (wrapper.connection is None) is (server == "ASGI")
    finally:
        wrapper.close()
        if wrapper.pool:
            wrapper.close_pool()
