from __future__ import annotations

import json
import sys
from inspect import isawaitable
from types import ModuleType

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client

from tests.factories import make_key
from tests.models import Project
from tests.outside.page import get_block


@pytest.fixture
def shop(db, monkeypatch):
    """Return a function to run the block of a module of the page, such as ``views``, and import it as ``shop.views``."""
    package = ModuleType("shop")
    monkeypatch.setitem(sys.modules, "shop", package)

    def load(name, **names):
        module = ModuleType(f"shop.{name}")
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        setattr(package, name, module)
        if not names:
            block = get_block(f"# shop/{name}.py\n")
            exec(compile(block, f"shop/{name}.py", "exec"), vars(module))
        return module

    load("models", Product=Project)
    return load


@pytest.fixture
def csb(acme):
    return make_key("csb", organization=acme)[1]


@pytest.fixture
def cpk(acme):
    return make_key("cpk", organization=acme)[1]


@pytest.fixture(params=["wsgi", "asgi"])
def send(request):
    """Return a function to send a request with a raw key or a user's session, under WSGI and under ASGI."""

    def send(path, raw_key=None, *, user=None, method="get", data=None, **headers):
        client = Client() if request.param == "wsgi" else AsyncClient()
        if user is not None:
            client.force_login(user)
        if raw_key is not None:
            headers["x_api_key"] = raw_key
        # The method of ``AsyncClient`` is not marked as a coroutine function.
        response = client.generic(
            method.upper(),
            path,
            "" if data is None else json.dumps(data),
            content_type="application/json",
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        return async_to_sync(wait)(response) if isawaitable(response) else response

    return send


async def wait(awaitable):
    return await awaitable
