import pytest
from django.core.cache import cache

from after.world import World


@pytest.fixture(autouse=True)
def empty_cache():
    """Begin each test with new rate limits."""
    yield
    cache.clear()


@pytest.fixture
def world(db):
    return World()
