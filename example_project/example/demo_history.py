"""The past of the demo's organizations: 30 days of keys, requests, invitations and changes of roles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID
from zlib import crc32

from django.contrib.auth import get_user_model
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from closient_auth.keys import KeyType
from closient_auth.models import ApiKey, ApiKeyUsage, Invitation, Organization
from example.demo_data import ALPINE_OUTDOOR, HARBOR_COFFEE

DAYS = 30
# The web shop had a sale so many days ago.
BUSY_DAY = 9
INVITED = "noor@demo.example"
OFFICE = (0, 0, 0, 0, 0, 1, 4, 8, 9, 10, 9, 6, 7, 9, 9, 8, 5, 2, 1, 0, 0, 0, 0, 0)
VISITORS = (2, 1, 1, 0, 0, 1, 2, 4, 6, 7, 7, 8, 9, 8, 7, 7, 8, 9, 10, 10, 9, 7, 5, 3)
STEADY = (10,) * 24


@dataclass(frozen=True)
class DemoKey:
    """A key, who made it and when, and how it is used. Times are days ago."""

    name: str
    prefix: str
    organization: str
    by: str
    made: float
    description: str = ""
    # The most requests in an hour, and their share in each hour of a day and at the weekend.
    peak: int = 0
    hours: tuple[int, ...] = OFFICE
    weekend: float = 0.1
    last_used: float | None = None
    revoked: float | None = None
    options: dict[str, Any] = field(default_factory=dict)


# The next start of the demo revokes and replaces the keys with this description.
PRINTED = "Printed by the demo. Its next start revokes this key."
SERVER = DemoKey(
    "Web shop", KeyType.BUSINESS, ALPINE_OUTDOOR.slug, "ada", 64, PRINTED, 620, VISITORS, 0.7, last_used=0.0002
)
SCRIPT = DemoKey("Script of Ada", KeyType.USER, "", "ada", 41, PRINTED, 45, last_used=0.05)
WIDGET = DemoKey(
    "Product widget", KeyType.PUBLISHABLE, HARBOR_COFFEE.slug, "oli", 58, PRINTED, 310, VISITORS, 1.2, last_used=0.002
)
SLOW = DemoKey(
    "Three a minute", KeyType.BUSINESS, ALPINE_OUTDOOR.slug, "ada", 20, PRINTED, 3,
    last_used=0.9, options={"rate_limit_per_minute": 3},
)  # fmt: skip
ERP = DemoKey(
    "ERP sync", KeyType.BUSINESS, ALPINE_OUTDOOR.slug, "ada", 180,
    "Nightly stock and prices", 36, STEADY, 1, last_used=0.02,
)  # fmt: skip

KEYS = (
    SERVER, SCRIPT, WIDGET, SLOW, ERP,
    DemoKey("Warehouse scanners", KeyType.BUSINESS, ALPINE_OUTDOOR.slug, "mia", 84, "Hall 2", 140, weekend=0, last_used=0.03),
    DemoKey("Price feed", KeyType.BUSINESS, ALPINE_OUTDOOR.slug, "ada", 21, "For the comparison site"),
    DemoKey("Old web shop", KeyType.BUSINESS, ALPINE_OUTDOOR.slug, "ada", 320, "", 240, VISITORS, 0.7, 12.2, revoked=12),
    DemoKey(
        "Shop window", KeyType.PUBLISHABLE, ALPINE_OUTDOOR.slug, "mia", 35, "Product cards on the home page",
        260, VISITORS, 1, 0.0015, options={"allowed_origins": ["https://alpine-outdoor.example"]},
    ),
    DemoKey("Notebook", KeyType.USER, "", "eli", 27, "", 12, last_used=0.8),
    DemoKey("Till", KeyType.BUSINESS, HARBOR_COFFEE.slug, "oli", 150, "Roastery and harbour", 75, weekend=0.9, last_used=0.01),
    DemoKey("Subscriptions", KeyType.BUSINESS, HARBOR_COFFEE.slug, "max", 44, "", 22, STEADY, 1, last_used=0.04),
    DemoKey("Test", KeyType.BUSINESS, HARBOR_COFFEE.slug, "max", 16, "", 30, last_used=14.3, revoked=14),
)  # fmt: skip


def load_history() -> None:
    """Replay the past once. Each call adds the requests since the last one, so that the plots have no gap."""
    people = get_user_model().objects.in_bulk(field_name="username")
    alpine = Organization.objects.get(slug=ALPINE_OUTDOOR.slug)
    with transaction.atomic():
        if not alpine.api_keys.exists():
            for demo in KEYS:
                load_key(demo, people[demo.by])
            change_keys(alpine, people)
            change_roles(alpine, people)
        load_usage()
    invite(alpine, people["mia"])


def load_key(demo: DemoKey, by: Any) -> None:
    holder = {"organization": Organization.objects.get(slug=demo.organization)} if demo.organization else {"user": by}
    with at(demo.made):
        api_key, _ = ApiKey.objects.create_key(
            prefix=demo.prefix, name=demo.name, description=demo.description, by=by, **holder, **demo.options
        )
    if demo.last_used is not None:
        ApiKey.objects.filter(pk=api_key.pk).update(last_used=timezone.now() - timedelta(demo.last_used))
    if demo.revoked is not None:
        with at(demo.revoked):
            api_key.revoke(by=by)


def change_keys(alpine: Organization, people: dict[str, Any]) -> None:
    keys = {api_key.name: api_key for api_key in alpine.api_keys.all()}
    scanners, sync = keys["Warehouse scanners"], keys["ERP sync"]
    with at(8.8):
        scanners.change(rate_limit_per_minute=600, by=people["mia"])
    with at(2):
        # Six days and some hours are left.
        scanners.change(expires_at=timezone.now() + timedelta(8.4), by=people["mia"])
    with at(1):
        successor, _ = sync.rotate(grace=timedelta(3.4), by=people["ada"])
    ApiKey.objects.filter(pk=successor.pk).update(last_used=timezone.now() - timedelta(minutes=9))


def change_roles(alpine: Organization, people: dict[str, Any]) -> None:
    bea = alpine.memberships.get(user=people["bea"])
    with at(26):
        bea.change_role("editor", by=people["ada"])
    with at(19):
        bea.change_role("billing", by=people["ada"])


def invite(alpine: Organization, by: Any) -> None:
    """Invite a colleague. There is nobody to read the mail, and the terminal is for mails that a user of the demo sent."""
    if not alpine.invitations.filter(email=INVITED).exists():
        with at(2.2), patch.object(EmailMessage, "send", return_value=1):
            Invitation.objects.invite(organization=alpine, email=INVITED, role="editor", by=by)


def load_usage() -> None:
    """Add the requests of the last 30 days, from the last hour with requests."""
    end = timezone.now().replace(minute=0, second=0, microsecond=0)
    rows = []
    for demo in KEYS:
        keys = ApiKey.objects.filter(name=demo.name, prefix=demo.prefix)
        first = keys.filter(rotated_from=None).order_by("created_at").first()
        if first is None:
            # Somebody renamed or deleted it.
            continue
        known = ApiKeyUsage.objects.filter(family=first.family)
        latest = known.aggregate(latest=Max("hour"))["latest"]
        if demo.revoked is not None and latest:
            continue
        start = max(end - timedelta(DAYS), first.created_at, latest or first.created_at)
        stop = end - timedelta(demo.revoked or 0)
        hours = range(int(start.timestamp()) // 3600 + 1, int(stop.timestamp()) // 3600)
        rows += [row for hour in hours if (row := make_row(demo, first.family, hour, end))]
    ApiKeyUsage.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)


def make_row(demo: DemoKey, family: UUID, hour: int, end: datetime) -> ApiKeyUsage | None:
    """Return the requests of an hour (counted from 1970). The same hour always has the same numbers."""
    moment = datetime.fromtimestamp(hour * 3600, UTC)
    share = demo.hours[moment.hour] / 10 * (demo.weekend if moment.weekday() >= 5 else 1)
    # From 80 to 120 per cent
    chance = 0.8 + crc32(f"{demo.name} {hour}".encode()) % 401 / 1000
    requests, refused = round(demo.peak * share * chance), 0
    if demo is SERVER and (end.date() - moment.date()).days == BUSY_DAY:
        # More customers than usual, and from three o'clock on the daily limit refuses their requests.
        requests, refused = (round(requests * 2.5), 0) if moment.hour < 15 else (0, round(requests * 2.5))
    return ApiKeyUsage(family=family, hour=moment, requests=requests, refused=refused) if requests or refused else None


@contextmanager
def at(days: float) -> Iterator[None]:
    """Run a block so many days ago: rows and audit entries get that time."""
    with patch("django.utils.timezone.now", return_value=timezone.now() - timedelta(days)):
        yield
