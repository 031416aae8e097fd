from __future__ import annotations

import json
import os
import sys
import threading
from contextvars import Context, copy_context
from functools import partial

import pytest
from _pytest import runner
from django.core.cache import cache
from django.core.signals import got_request_exception
from django.db import connections
from django.urls import path
from rest_framework.test import APIClient

from closient_auth.core import reports
from closient_auth.usage import buffer
from tests.checkout import copy_checkout
from tests.factories import OrganizationFactory
from tests.leaks.sinks import read_frames
from tests.ports import get_free_port

# The contexts of the tests. They hold the connections of caches, which warn if the garbage collector closes them.
contexts: list[Context] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Run each test in a context of its own, and pause the coverage in tests marked ``unmeasured``.

    Each URL resolver leaves a context variable behind, and asgiref copies all of them between threads. After hundreds of
    tests in one context, a request to an async view takes ten times as long.
    """
    context = copy_context()
    contexts.append(context)
    run = partial(context.run, runner.pytest_runtest_protocol, item, nextitem)
    if not item.get_closest_marker("unmeasured"):
        return run()
    # ``Coverage.stop()`` and ``start()`` take as long as a test. The variable makes child processes measure themselves.
    traces, child = (sys.gettrace(), threading.gettrace()), os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    sys.settrace(None)
    threading.settrace(None)
    try:
        return run()
    finally:
        sys.settrace(traces[0])
        threading.settrace(traces[1])
        os.environ.update({} if child is None else {"COVERAGE_PROCESS_CONFIG": child})


@pytest.fixture(autouse=True)
def empty_cache():
    """Clear the cache, so the counters of one test do not affect the next."""
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def empty_reports():
    """Forget which refusals were logged, so that each test sees its first line."""
    yield
    reports._due.clear()
    reports._unrecognised.clear()


@pytest.fixture(autouse=True)
def empty_usage():
    """Forget the requests that this process has not written into the table yet."""
    yield
    buffer._buffer.clear()


@pytest.fixture(autouse=True)
def patience(request, monkeypatch):
    """Raise the Redis timeouts in tests that are not about timing: a slow machine would look like an outage."""
    if not request.node.get_closest_marker("hurried"):
        monkeypatch.setattr("closient_auth.limits.redis.TIMEOUT", 6)
        monkeypatch.setattr("closient_auth.limits.redis.BUDGET", 24)


@pytest.fixture
def cache_away(settings, monkeypatch):
    """Use a cache at a closed port. Without ``RATE_LIMIT_FAIL_OPEN``, refuse requests at once, not after a second."""
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1"}
    }
    monkeypatch.setattr("closient_auth.limits.counter.PATIENCE", 0)


@pytest.fixture
def acme(db):
    return OrganizationFactory.create(name="Acme", slug="acme")


@pytest.fixture
def globex(db):
    return OrganizationFactory.create(name="Globex", slug="globex")


@pytest.fixture
def error_reports():
    """Return the error reports of unhandled exceptions, including the variables of all frames."""
    found: list[str] = []

    def note(**kwargs):
        error = sys.exception()
        assert error is not None
        found.append("\n".join(read_frames(error)))

    got_request_exception.connect(note)
    yield found
    got_request_exception.disconnect(note)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return copy_checkout(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def port():
    return get_free_port()


@pytest.fixture
def mount(settings):
    """Return a function to replace the URLconf for the rest of the test: a view at ``/``, or URL patterns."""

    def mount(*patterns):
        settings.ROOT_URLCONF = tuple(path("", view) if callable(view) else view for view in patterns)

    return mount


@pytest.fixture
def call():
    """
    Return a function to send a request with a raw key or a user's session and return the response.

    ``call("/who/", raw_key)``, ``call("/who/", user=user, method="post", x_organization="acme")``
    """

    def call(path="/", raw_key=None, *, user=None, method="get", data=None, client=None, **headers):
        client = client or APIClient()
        if user is not None:
            client.force_login(user)
        if raw_key is not None:
            headers["x_api_key"] = raw_key
        return client.generic(
            method.upper(),
            path,
            data="" if data is None else json.dumps(data),
            content_type="application/json",
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    return call


class ReplicaRouter:
    """Route all reads, or only those of one app's models, to the replica."""

    def __init__(self, app_label=None):
        self.app_label = app_label

    def db_for_read(self, model, **hints):
        return "replica" if self.app_label in (None, model._meta.app_label) else None

    def db_for_write(self, model, **hints):
        return "default"

    def allow_relation(self, *args, **hints):
        return True


@pytest.fixture
def replica(db, settings):
    """Return a function to route reads to an empty or missing database, so any later read fails the test."""

    def replica(app_label=None):
        connections.databases["replica"] = {**connections.databases["default"], "NAME": "closient_auth_replica"}
        if connections["default"].vendor == "sqlite":
            connections.databases["replica"]["NAME"] = ":memory:"
        settings.DATABASE_ROUTERS = [ReplicaRouter(app_label)]

    yield replica
    if "replica" in connections.databases:
        settings.DATABASE_ROUTERS = []
        connections["replica"].close()
        del connections["replica"]
        del connections.databases["replica"]
