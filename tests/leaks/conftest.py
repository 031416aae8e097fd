from __future__ import annotations

import pytest

from tests.leaks.sinks import Sinks


@pytest.fixture(autouse=True)
def urls(settings):
    settings.ROOT_URLCONF = "tests.leaks.urls"


@pytest.fixture
def sinks(urls):
    with Sinks() as sinks:
        yield sinks
