from __future__ import annotations

from http import HTTPStatus
from zlib import crc32

import pytest
import time_machine

from closient_auth.core.rates import get_headers, get_windows
from closient_auth.keys import KeyType
from closient_auth.limits.windows import Verdict, Window, WindowState
from closient_auth.throttling import ApiKeyRateThrottle
from tests.factories import UserFactory, make_key
from tests.limit_headers import get_limit_headers
from tests.views import WhoView

pytestmark = pytest.mark.django_db

LIMITS = {"RATE_LIMIT_PER_MINUTE": 7, "RATE_LIMIT_PER_DAY": 70, "PUBLISHABLE_RATE_LIMIT_PER_MINUTE": 5}


@pytest.fixture
def noon():
    """Stop the clock of this machine: no window may end during a test."""
    with time_machine.travel(1_800_000_000, tick=False):
        yield 1_800_000_000


@pytest.mark.parametrize(
    ("prefix", "per_minute", "per_day", "expected"),
    [
        (KeyType.BUSINESS, 0, 0, [(7, 60), (70, 86_400)]),
        (KeyType.USER, 0, 0, [(7, 60), (70, 86_400)]),
        (KeyType.PUBLISHABLE, 0, 0, [(5, 60), (70, 86_400)]),
        (KeyType.BUSINESS, 1, 0, [(1, 60), (70, 86_400)]),
        (KeyType.PUBLISHABLE, 9, 99, [(9, 60), (99, 86_400)]),
        (KeyType.USER, 0, 1, [(7, 60), (1, 86_400)]),
    ],
)
def test_a_key_that_says_0_takes_the_default(settings, prefix, per_minute, per_day, expected):
    settings.CLOSIENT_AUTH = LIMITS
    api_key, _ = make_key(prefix, rate_limit_per_minute=per_minute, rate_limit_per_day=per_day)

    assert [(window.limit, window.period) for window in get_windows(api_key)] == expected


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (KeyType.BUSINESS, [(300, 60), (10_000, 86_400)]),
        (KeyType.USER, [(300, 60), (10_000, 86_400)]),
        (KeyType.PUBLISHABLE, [(100, 60), (10_000, 86_400)]),
    ],
)
def test_the_defaults_are_the_product_s(settings, prefix, expected):
    settings.CLOSIENT_AUTH = {}
    api_key, _ = make_key(prefix)

    assert [(window.limit, window.period) for window in get_windows(api_key)] == expected


@pytest.mark.parametrize(
    ("unlimited", "policy"),
    [
        ("RATE_LIMIT_PER_MINUTE", "70;w=86400"),
        ("RATE_LIMIT_PER_DAY", "7;w=60"),
    ],
)
def test_an_unlimited_window_is_left_out_of_the_headers(settings, call, unlimited, policy):
    settings.CLOSIENT_AUTH = {**LIMITS, unlimited: 0}
    _, raw_key = make_key()

    response = call("/who/", raw_key)

    assert response["RateLimit-Policy"] == policy
    assert response["RateLimit-Limit"] == policy.partition(";")[0]


def test_without_any_limit_there_is_nothing_to_say(settings, call):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_PER_MINUTE": 0, "RATE_LIMIT_PER_DAY": 0}
    _, raw_key = make_key()

    response = call("/who/", raw_key)

    assert response.status_code == HTTPStatus.OK
    assert not get_limit_headers(response)


def test_who_was_not_counted_is_told_no_time():
    """A subclass in a project may refuse before it counts."""
    assert ApiKeyRateThrottle().wait() is None


def test_requests_without_a_key_pass(settings, call):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_PER_MINUTE": 1}
    user = UserFactory.create()

    for _ in range(3):
        response = call("/who/", user=user)
        assert response.status_code == HTTPStatus.OK
        assert not get_limit_headers(response)


def test_each_answer_tells_what_is_left_and_the_last_one_when_to_come_back(settings, call):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_PER_MINUTE": 3, "RATE_LIMIT_PER_DAY": 100}
    _, raw_key = make_key()

    responses = [call("/who/", raw_key) for _ in range(5)]

    assert [response.status_code for response in responses] == [200, 200, 200, 429, 429]
    assert {response["RateLimit-Policy"] for response in responses} == {"3;w=60, 100;w=86400"}
    assert [response["RateLimit-Remaining"] for response in responses] == ["2", "1", "0", "0", "0"]
    assert ["Retry-After" in response for response in responses] == [False] * 3 + [True] * 2
    assert 1 <= int(responses[-1]["Retry-After"]) <= 60
    assert responses[-1]["Retry-After"] == responses[-1]["RateLimit-Reset"]


def test_headers_are_those_of_the_window_that_trips_first(noon):
    minute, day = Window(300, 60), Window(10_000, 86_400)

    headers = get_headers(Verdict(True, (WindowState(minute, 12, 31), WindowState(day, 9_990, 5_000))))

    assert headers == {
        "RateLimit": '"minute";r=288;t=31, "day";r=10;t=5000',
        "RateLimit-Policy": "300;w=60, 10000;w=86400",
        "RateLimit-Limit": "10000",
        "RateLimit-Remaining": "10",
        "RateLimit-Reset": "5000",
        "X-RateLimit-Limit": "10000",
        "X-RateLimit-Remaining": "10",
        "X-RateLimit-Reset": str(noon + 5_000),
    }


@pytest.mark.parametrize(
    ("minute", "day", "expected"),
    [((1, 31), (1, 5_000), 31), ((300, 31), (9_999, 5_000), 31), ((300, 31), (10_000, 5_000), 5_000)],
    ids=["the minute has less left", "the minute is used up", "both are"],
)
def test_who_is_refused_by_both_windows_waits_for_the_later_end(minute, day, expected):
    verdict = Verdict(False, (WindowState(Window(300, 60), *minute), WindowState(Window(10_000, 86_400), *day)))

    assert verdict.tightest.reset == expected


def test_what_was_counted_beyond_the_limit_leaves_nothing_and_not_less():
    assert WindowState(Window(300, 60), 305, 31).remaining == 0


def test_a_view_s_own_refusal_counts_and_says_so(call):
    _, raw_key = make_key(rate_limit_per_minute=2)

    assert [call("/failing/", raw_key).status_code for _ in range(3)] == [400, 400, 429]
    assert call("/failing/", raw_key)["RateLimit-Remaining"] == "0"


def test_a_permission_s_refusal_counts(call):
    """Otherwise a limited key could load the database without bound."""
    _, raw_key = make_key(KeyType.PUBLISHABLE, rate_limit_per_minute=2)
    _, neighbour = make_key(KeyType.PUBLISHABLE, rate_limit_per_minute=2)

    for _ in range(2):
        response = call("/who/", raw_key)
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.FORBIDDEN, "publishable_key_refused")
        assert not get_limit_headers(response)
    for path in ("/who/", "/open-who/"):
        response = call(path, raw_key)
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.TOO_MANY_REQUESTS, "throttled")
        assert response["RateLimit-Remaining"] == "0"
    assert call("/open-who/", neighbour)["RateLimit-Remaining"] == "1"


def test_bad_keys_do_not_use_up_a_good_one(call):
    api_key, raw_key = make_key(rate_limit_per_minute=1)
    twin = f"{'csu' if raw_key.startswith('csb') else 'csb'}{raw_key[3:]}"

    for bad_key in [twin, raw_key[:-1], f"{raw_key} ", ""] * 3:
        response = call("/who/", bad_key)
        assert response.status_code == HTTPStatus.UNAUTHORIZED
        assert not get_limit_headers(response)
    assert call("/who/", raw_key)["RateLimit-Remaining"] == "0"


def test_limits_are_those_of_the_row_at_this_request(call):
    api_key, raw_key = make_key(rate_limit_per_minute=2)
    assert [call("/who/", raw_key).status_code for _ in range(3)] == [200, 200, 429]

    type(api_key).objects.filter(pk=api_key.pk).update(rate_limit_per_minute=3)
    assert [call("/who/", raw_key).status_code for _ in range(2)] == [200, 429]
    type(api_key).objects.filter(pk=api_key.pk).update(rate_limit_per_minute=1)
    response = call("/who/", raw_key)
    assert response.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert response["RateLimit-Limit"] == "1"


def test_keys_of_one_organization_have_limits_of_their_own(call):
    api_key, raw_key = make_key(rate_limit_per_minute=1)
    _, other_key = make_key(organization=api_key.organization, rate_limit_per_minute=1)

    assert [call("/who/", key).status_code for key in (raw_key, raw_key, other_key)] == [200, 429, 200]


def test_twice_the_limit_may_pass_around_the_edge_of_a_window_and_no_more(use_cache, call):
    use_cache(BACKEND="django.core.cache.backends.locmem.LocMemCache", LOCATION="edge")
    api_key, raw_key = make_key(rate_limit_per_minute=2)
    # This is the last second of a minute of this key.
    last = 1_800_000_000 - 1_800_000_000 % 60 + crc32(str(api_key.family).encode()) % 60

    with time_machine.travel(last + 0.9, tick=False) as travel:
        before = [call("/who/", raw_key) for _ in range(3)]
        assert before[-1]["Retry-After"] == "1"
        travel.shift(1)
        after = [call("/who/", raw_key) for _ in range(3)]
        assert after[-1]["Retry-After"] == "60"

    assert [response.status_code for response in before + after] == [200, 200, 429] * 2


def test_a_subclass_runs_once_and_after_the_permissions(call, mount):
    """Its own code may count something else."""
    runs = []

    class Own(ApiKeyRateThrottle):
        def allow_request(self, request, view):
            runs.append(request.user)
            return super().allow_request(request, view)

    class View(WhoView):
        throttle_classes = [Own]

    mount(View.as_view())
    _, raw_key = make_key("csb", rate_limit_per_minute=1)

    assert [call("/", raw_key).status_code for _ in range(2)] == [HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS]
    assert len(runs) == 2
