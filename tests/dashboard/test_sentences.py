"""Audit entries in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone, translation
from django.utils.safestring import SafeString

from closient_auth.actors import Actor, acting
from closient_auth.models import ApiKey, AuditEntry, Invitation
from closient_auth.models.audit import Event
from closient_auth.sentences import Change, describe, get_changes
from tests.factories import MembershipFactory, UserFactory, make_invitation, make_key

pytestmark = pytest.mark.django_db

ADA = "<b>Ada Lindqvist</b>"


def make(event, **values):
    fields = {"actor": "ada", "target": "Acme", "target_model": "organization", "target_id": uuid4(), **values}
    return AuditEntry(event=event, **fields)


# An entry of each event, and its sentence.
SENTENCES: dict[Event, tuple[dict[str, Any], str]] = {
    Event.ORGANIZATION_CREATED: ({}, "<b>ada</b> created the organization <b>Acme</b>"),
    Event.ORGANIZATION_CHANGED: (
        {"new_values": {"name": "Acme", "slug": "acme"}},
        "<b>ada</b> changed the organization <b>Acme</b>",
    ),
    Event.ORGANIZATION_DELETED: ({}, "<b>ada</b> deleted the organization <b>Acme</b>"),
    Event.MEMBER_ADDED: (
        {"target_model": "membership", "target": "eli: Editor", "new_values": {"user": 7, "role": "editor"}},
        "<b>ada</b> added <b>eli</b> with the role Editor",
    ),
    Event.MEMBER_CHANGED: (
        {
            "target_model": "membership",
            "target": "eli: Manager",
            "old_values": {"role": "editor"},
            "new_values": {"role": "manager"},
        },
        "<b>ada</b> changed the role of <b>eli</b> from <b>Editor</b> to <b>Manager</b>",
    ),
    Event.MEMBER_REMOVED: (
        {"target_model": "membership", "target": "eli: Editor", "old_values": {"user": 7, "role": "editor"}},
        "<b>ada</b> removed <b>eli</b> from the organization",
    ),
    Event.INVITATION_CREATED: (
        {"target_model": "invitation", "target": "eli@example.com: Editor"},
        "<b>ada</b> invited <b>eli@example.com</b> with the role Editor",
    ),
    Event.INVITATION_RESENT: (
        {"target_model": "invitation", "target": "eli@example.com: Editor"},
        "<b>ada</b> sent the invitation to <b>eli@example.com</b> again",
    ),
    Event.INVITATION_WITHDRAWN: (
        {"target_model": "invitation", "target": "eli@example.com: Editor"},
        "<b>ada</b> withdrew the invitation to <b>eli@example.com</b>",
    ),
    Event.INVITATION_ACCEPTED: (
        {"target_model": "invitation", "target": "eli@example.com: Editor"},
        "<b>ada</b> accepted the invitation to <b>eli@example.com</b>",
    ),
    Event.INVITATION_DECLINED: (
        {"target_model": "invitation", "target": "eli@example.com: Editor"},
        "<b>ada</b> declined the invitation to <b>eli@example.com</b>",
    ),
    Event.API_KEY_CREATED: (
        {"target_model": "apikey", "target": "csb_abcd… Warehouse"},
        "<b>ada</b> created the key <b>Warehouse</b> <code>csb_abcd…</code>",
    ),
    Event.API_KEY_CHANGED: (
        {"target_model": "apikey", "target": "csb_abcd…", "new_values": {"name": ""}},
        "<b>ada</b> changed the key <code>csb_abcd…</code>",
    ),
    Event.API_KEY_ROTATED: (
        {"target_model": "apikey", "target": "csb_abcd… Warehouse"},
        "<b>ada</b> rotated a key; the new one is <b>Warehouse</b> <code>csb_abcd…</code>",
    ),
    Event.API_KEY_REVOKED: (
        {"target_model": "apikey", "target": "something odd"},
        "<b>ada</b> revoked the key <b>something odd</b>",
    ),
    Event.API_KEY_SHUT_OUT: (
        {"target_model": "apikey", "target": "csu_abcd…"},
        "<b>ada</b> shut out the user key <code>csu_abcd…</code>",
    ),
    Event.API_KEY_LET_IN: (
        {"target_model": "apikey", "target": "csu_abcd…"},
        "<b>ada</b> let in the user key <code>csu_abcd…</code> again",
    ),
    Event.REVOKED_API_KEY_USED: (
        {"target_model": "apikey", "target": "csb_abcd… Warehouse"},
        "Somebody used the revoked key <b>Warehouse</b> <code>csb_abcd…</code>",
    ),
    Event.API_KEY_USED_IN_BROWSER: (
        {"target_model": "apikey", "target": "csb_abcd… Warehouse"},
        "Somebody used the secret key <b>Warehouse</b> <code>csb_abcd…</code> in a browser",
    ),
    Event.AUDIT_PRUNED: (
        {"target_model": "auditentry", "target": "", "actor": "system"},
        "<b>The application</b> deleted old entries of the audit log",
    ),
    Event.USER_FORGOTTEN: (
        {"target_model": "auditentry", "target": "", "actor": "system"},
        "<b>The application</b> removed a person from the audit log",
    ),
}


def test_the_table_has_every_event():
    assert set(SENTENCES) == set(Event)


@pytest.mark.parametrize("event", Event)
def test_sentence(event):
    fields, sentence = SENTENCES[event]

    assert describe(make(event, **fields)) == sentence


@pytest.mark.parametrize(
    ("event", "old", "new", "sentence"),
    [
        ("organization_changed", {"name": "A"}, {"name": "Acme"}, "renamed the organization to <b>Acme</b>"),
        ("organization_changed", {"slug": "a"}, {"slug": "b"}, "changed the slug from <b>a</b> to <b>b</b>"),
        ("organization_changed", {"user_keys_allowed": False}, {"user_keys_allowed": True}, "allowed user keys"),
        ("organization_changed", {"user_keys_allowed": True}, {"user_keys_allowed": False}, "refused user keys"),
        (
            "organization_changed",
            {"suspended_at": None},
            {"suspended_at": "2026-11-29T10:00:00Z"},
            "suspended the organization",
        ),
        (
            "organization_changed",
            {"suspended_at": "2026-11-29T10:00:00Z"},
            {"suspended_at": None},
            "lifted the suspension",
        ),
        ("member_changed", {"user": 1}, {"user": 2}, "changed the membership of <b>Acme</b>"),
    ],
)
def test_a_change_of_one_field_has_its_own_sentence(event, old, new, sentence):
    assert describe(make(event, old_values=old, new_values=new)) == f"<b>ada</b> {sentence}"


@pytest.mark.parametrize(
    ("expires_at", "sentence"),
    [("2026-11-29T10:00:00Z", "changed the expiry of the key"), (None, "removed the expiry of the key")],
)
def test_a_change_of_the_expiry(expires_at, sentence):
    entry = make(
        "api_key_changed",
        target_model="apikey",
        target="csb_abcd…",
        old_values={"expires_at": "2026-11-28T10:00:00Z"},
        new_values={"expires_at": expires_at},
    )

    assert describe(entry) == f"<b>ada</b> {sentence} <code>csb_abcd…</code>"


def test_an_event_of_a_later_version():
    assert describe(make("planet_moved")) == "<b>ada</b>: planet_moved <b>Acme</b>"


@pytest.mark.parametrize("event", [*Event, "planet_moved"])
@pytest.mark.parametrize("model", ["organization", "membership", "invitation", "apikey", "planet"])
def test_no_text_of_an_entry_becomes_html(event, model):
    evil = "<script>{actor}%s</script>"
    values = dict.fromkeys(("name", "slug", "role", "user", "expires_at", "state", evil), evil)
    for fields in (values, {"role": evil}, {"slug": evil}, {evil: evil}):
        entry = make(
            event,
            actor=f"csb_ab{evil}… {evil}",
            target=f"csb_ab{evil}… {evil}: {evil}",
            target_model=model,
            old_values=fields,
            new_values=fields,
        )
        for key in (None, uuid4()):
            entry.api_key_id = key
            text = describe(entry)
            assert isinstance(text, SafeString)
            assert "<script" not in text


def test_actors(acme):
    ada = UserFactory.create(username="ada", first_name="Ada", last_name="Lindqvist")
    nobody = UserFactory.create(username="nobody")
    key = uuid4()

    def read(**fields):
        return describe(make("organization_created", **fields)).removesuffix(" created the organization <b>Acme</b>")

    assert read(user=ada) == ADA
    assert read(user=ada, api_key_id=key) == "<b>Ada Lindqvist (with an API key)</b>"
    assert read(user=nobody, actor="nobody") == "<b>nobody</b>"
    assert read(actor="csb_abcd… Warehouse", api_key_id=key) == "<b>Warehouse</b> <code>csb_abcd…</code>"
    assert read(actor="system") == "<b>The application</b>"
    # A person with this name had an account and an address, and a key says what it is.
    assert read(actor="system", address="203.0.113.7") == "<b>system</b>"
    assert read(actor="system", api_key_id=key) == "<b>system</b>"
    assert read(actor="system", user=UserFactory.create(username="system")) == "<b>system</b>"


def test_a_user_model_without_full_names(monkeypatch):
    user = UserFactory.create(username="ada", first_name="Ada")
    monkeypatch.delattr("django.contrib.auth.models.AbstractUser.get_full_name")

    assert describe(make("organization_created", user=user)).startswith("<b>ada</b>")


def test_what_the_models_write(acme):
    """The verbs of the models, in the order of the log."""
    ada = UserFactory.create(username="ada", first_name="Ada", last_name="Lindqvist", email="ada@example.com")
    eli = UserFactory.create(username="eli", email="eli@example.com")
    MembershipFactory.create(organization=acme, user=ada, role="owner")
    AuditEntry.objects.all()._erase()
    with acting(Actor(ada, address="203.0.113.7")):
        invitation, token = make_invitation(acme, "eli@example.com", by=ada)
        invitation.resend(by=ada)
        invitation, token = make_invitation(acme, "eli@example.com", by=ada)
    with acting(Actor(eli)):
        member = Invitation.objects.accept(token, eli)
    member.change_role("manager", by=ada)
    key, _ = make_key("csb", organization=acme, name="Warehouse", by=ada)
    new_key, _ = key.rotate(by=ada, grace=timedelta(hours=1))
    new_key.revoke(by=ada)
    member.remove(by=eli)
    entries = AuditEntry.objects.select_related("user").order_by("created_at")
    hints = {key.pk: f"csb_{key.hint}…" for key in ApiKey.objects.all()}

    assert [describe(entry) for entry in entries] == [
        f"{ADA} sent the invitation to <b>eli@example.com</b> again",
        "<b>eli</b> accepted the invitation to <b>eli@example.com</b>",
        # Another invitation was pending.
        "<b>eli</b> withdrew the invitation to <b>eli@example.com</b>",
        "<b>eli</b> joined with the role Editor",
        f"{ADA} changed the role of <b>eli</b> from <b>Editor</b> to <b>Manager</b>",
        f"{ADA} created the key <b>Warehouse</b> <code>{hints[key.pk]}</code>",
        f"{ADA} changed the expiry of the key <b>Warehouse</b> <code>{hints[key.pk]}</code>",
        f"{ADA} rotated a key; the new one is <b>Warehouse</b> <code>{hints[new_key.pk]}</code>",
        f"{ADA} revoked the key <b>Warehouse</b> <code>{hints[new_key.pk]}</code>",
        "<b>eli</b> left the organization",
    ]


def test_changes_of_a_new_key(acme):
    ada = MembershipFactory.create(
        organization=acme, role="owner", user__username="ada", user__first_name="Ada", user__last_name="Lindqvist"
    ).user
    make_key(
        "csb",
        organization=acme,
        name="Warehouse",
        by=ada,
        permissions=["organization.view_organization"],
        rate_limit_per_minute=20,
    )
    entry = AuditEntry.objects.select_related("user").get(event="api_key_created")

    assert get_changes(entry) == [
        Change("Type", None, "Business"),
        Change("Hint", None, entry.new_values["hint"]),
        Change("Created by", None, "Ada Lindqvist"),
        Change("Name", None, "Warehouse"),
        Change("Requests per minute", None, "20"),
        Change("Permissions", None, "View the organization"),
    ]


@pytest.mark.parametrize(
    ("model", "old", "new", "change"),
    [
        ("membership", {"role": "editor"}, {"role": "owner"}, ("Role", "Editor", "Owner")),
        ("membership", {"role": "editor"}, {"role": "emperor"}, ("Role", "Editor", "emperor")),
        ("membership", {"user": 7}, {"user": None}, ("User", "eli", "none")),
        ("organization", {"user_keys_allowed": True}, {"user_keys_allowed": False}, ("User keys allowed", "yes", "no")),
        ("organization", {"suspended_at": None}, {"suspended_at": "2026-11-29T10:00:00Z"},
         ("Suspended at", "none", "Nov. 29, 2026, 10 a.m. UTC")),
        ("apikey", {"expires_at": None}, {"expires_at": "2026-11-29T10:00:00"},
         ("Expires at", "never", "Nov. 29, 2026, 10 a.m.")),
        ("apikey", {"expires_at": "soon"}, {"expires_at": "2026-99-99T10:00:00"},
         ("Expires at", "soon", "2026-99-99T10:00:00")),
        ("apikey", {"permissions": None}, {"permissions": ["organization.manage_billing", "offers.publish"]},
         ("Permissions", "all", "Manage billing, offers.publish")),
        ("apikey", {"permissions": []}, {"permissions": [3]}, ("Permissions", "none", "3")),
        ("apikey", {"allowed_networks": []}, {"allowed_networks": ["10.0.0.0/8", "::1/128"]},
         ("Allowed networks", "all", "10.0.0.0/8, ::1/128")),
        ("apikey", {"allowed_origins": ["https://a.example"]}, {"allowed_origins": []},
         ("Allowed origins", "https://a.example", "all")),
        ("apikey", {"former": {"a": True, "b": None}}, {"former": [False]}, ("Former", "a: yes, b: none", "no")),
        ("apikey", {"rate_limit_per_day": 0}, {"rate_limit_per_day": 50}, ("Requests per day", "default", "50")),
        ("apikey", {"created_by": 7}, {"created_by": "a-text"}, ("Created by", "account 7", "account a-text")),
        ("apikey", {"name": ""}, {"name": "A"}, ("Name", "none", "A")),
        ("invitation", {"state": "pending"}, {"state": "accepted"}, ("State", "Pending", "Accepted")),
        ("invitation", {"state": "pending"}, {"state": "frozen"}, ("State", "Pending", "frozen")),
        ("organization", {"members": {"7": "owner"}}, {"members": {}}, ("Members", "7: Owner", "none")),
        # A reverse relation is no field.
        ("organization", {"api_keys": {"7": "abcd"}}, {"api_keys": 3}, ("API keys", "7: abcd", "3")),
        ("auditentry", {"older_than": None}, {"older_than": "2026-11-29T10:00:00Z"},
         ("Older than", "none", "Nov. 29, 2026, 10 a.m. UTC")),
        ("planet", {"mass_in_kg": 1.5}, {"mass_in_kg": [{"a": "ü"}]}, ("Mass in kg", "1.5", '{"a": "ü"}')),
    ],
)  # fmt: skip
def test_changes_in_words(model, old, new, change):
    entry = make("api_key_changed", target_model=model, target="eli: Editor", old_values=old, new_values=new)

    with timezone.override("UTC"):
        assert get_changes(entry) == [Change(*change)]


@pytest.mark.parametrize("odd", ["text", 3, ["a", "b"], None])
def test_values_that_are_no_object(odd):
    entry = make("organization_changed", old_values=odd, new_values=odd)

    assert "changed the organization" in describe(entry)
    assert [change.label for change in get_changes(entry)] == ["Value"]


def test_a_removed_row_has_old_values_alone(acme):
    entry = make("member_removed", target_model="membership", target="eli: Editor", old_values={"user": 7, "role": ""})

    assert get_changes(entry) == [Change("User", "eli", None)]
    assert get_changes(make("invitation_created", new_values={"flag": False, "none": None})) == [
        Change("Flag", None, "no")
    ]


def test_changes_have_the_order_of_the_model():
    entry = make("api_key_created", target_model="apikey")
    entry.new_values = {"planet": "x", "name": "x", "allowed_networks": ["x"], "prefix": "csb", "mass": 3}

    labels = [change.label for change in get_changes(entry)]
    assert labels == ["Type", "Name", "Allowed networks", "Mass", "Planet"]


def test_the_organization_of_the_page_is_no_news(acme):
    entry = make("api_key_created", target_model="apikey", organization_id=acme.pk)
    entry.new_values = {"organization": str(acme.pk), "restricted_to": str(acme.pk)}

    assert get_changes(entry) == [Change("Restricted to", None, str(acme.pk))]


def test_times_are_in_the_current_time_zone():
    entry = make(
        "api_key_changed",
        target_model="apikey",
        old_values={"expires_at": None},
        new_values={"expires_at": "2026-11-29T10:00:00Z"},
    )
    with timezone.override("Europe/Berlin"), translation.override("de"):
        (change,) = get_changes(entry)

    assert change.new == "29. November 2026 11:00 CET"


def test_no_sentence_asks_the_database(acme, django_assert_num_queries):
    member = MembershipFactory.create(organization=acme, role="owner")
    make_key("csb", organization=acme, by=member.user)
    member.change_role("owner", by=member.user)
    entries = list(AuditEntry.objects.select_related("user"))

    with django_assert_num_queries(0):
        assert all(describe(entry) and get_changes(entry) for entry in entries)
