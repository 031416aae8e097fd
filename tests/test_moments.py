"""Times as people say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone, translation

from closient_auth.moments import format_exact, format_full, show_expiry, show_moment

NOW = datetime(2026, 3, 5, 14, 7, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def fixed(time_machine):
    time_machine.move_to(NOW, tick=False)
    with timezone.override("UTC"):
        yield


@pytest.mark.parametrize(
    ("left", "moment", "expiry"),
    [
        (timedelta(days=15), "in 2 weeks", "in 2 weeks"),
        (timedelta(minutes=1), "in 1 minute", "in 1 minute"),
        (timedelta(seconds=59), "in less than a minute", "in less than a minute"),
        (timedelta(0), "just now", "expired just now"),
        (timedelta(seconds=-59), "just now", "expired just now"),
        (timedelta(minutes=-1), "1 minute ago", "expired 1 minute ago"),
        (timedelta(days=-40), "1 month ago", "expired 1 month ago"),
    ],
)
def test_times_are_relative(left, moment, expiry):
    assert show_moment(NOW + left).partition(">")[2] == f"{moment}</time>"
    assert show_expiry(NOW + left).partition(">")[2] == f"{expiry}</time>"


def test_no_time():
    assert (show_moment(None), show_moment(None, "Never")) == ("", "Never")
    assert (show_expiry(None), show_expiry(None, "Never")) == ("", "Never")


def test_the_title_has_the_full_time_in_the_time_zone():
    with timezone.override("Europe/Berlin"):
        shown = show_moment(NOW)

    start = '<time datetime="2026-03-05T14:07:09+00:00" title="March 5, 2026, 3:07 p.m. CET">'
    assert shown == f"{start}just now</time>"


def test_a_text_of_the_translation_is_escaped(monkeypatch):
    monkeypatch.setattr("closient_auth.moments._", lambda text: f"<b>{text}")

    assert "&lt;b&gt;just now</time>" in show_moment(NOW)


@pytest.mark.parametrize(
    ("moment", "exact", "full"),
    [
        (NOW, "2026-03-05 14:07:09 UTC", "5. März 2026 14:07 UTC"),
        # As without ``USE_TZ``.
        (NOW.replace(tzinfo=None), "2026-03-05 14:07:09 CST", "5. März 2026 14:07"),
    ],
)
def test_whole_times(moment, exact, full):
    with translation.override("de"):
        assert (format_exact(moment), format_full(moment)) == (exact, full)
