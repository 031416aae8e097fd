import pytest
from django.core.cache import cache
from rest_framework.authtoken.models import Token

from after.world import World, make_key, send


@pytest.fixture(autouse=True)
def empty_cache():
    """Begin each test with new rate limits."""
    yield
    cache.clear()


@pytest.fixture
def world(db):
    return World()


@pytest.fixture(params=["user key", "session", "token"])
def act(request, world):
    """Return a function to send a request as a person, in one of three ways: ``act("pia", "GET", "/api/tasks/")``."""
    made = {}

    def act(name, method, address, data=None, **more):
        user = world.users[name]
        if request.param == "session":
            return send(method, address, user=user, data=data, **more)
        if name not in made:
            is_key = request.param == "user key"
            made[name] = {"key": make_key(user)} if is_key else {"token": Token.objects.create(user=user).key}
        return send(method, address, data=data, **made[name], **more)

    return act
