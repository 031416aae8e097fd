"""The pages of a person about their own user keys, and of an organization about the user keys of its members."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from closient_auth.keys import hash_api_key
from closient_auth.models import ApiKey, AuditEntry
from tests.dashboard.pages import change, create, find_secret, get_fields, get_names
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key

pytestmark = pytest.mark.django_db

LIST, NEW = "/settings/keys/", "/settings/keys/new/"
USER_KEYS = "/settings/o/acme/user-keys/"


@pytest.fixture
def editor(sign_in, people):
    """Return the client of an Editor, who has no pages about the keys of the organization."""
    return sign_in(people["editor"])


@pytest.fixture
def api_key(people):
    return make_key("csu", user=people["editor"], name="Script")[0]


def test_the_list_has_ones_own_keys_alone(editor, api_key, people, acme):
    make_key("csu", user=people["owner"], name="Another's")
    make_key(organization=acme, name="Acme's")
    text = editor.get(LIST).text

    assert get_names(text) == ["Script"]
    assert "These keys act as you" in text
    # There is one type.
    assert 'name="type"' not in text


def test_the_pages_need_a_login_and_no_organization(client, outsider):
    assert client.get(LIST)["Location"] == "/login/?next=/settings/keys/"
    client.force_login(outsider)

    assert "No keys yet" in client.get(LIST).text
    assert create(client, NEW).status_code == 200
    assert ApiKey.objects.get().user == outsider
    assert "What this key can do now" not in client.get(f"{LIST}{ApiKey.objects.get().pk}/").text


def test_a_new_key(editor, people, acme):
    response = create(
        editor, NEW, restricted_to=str(acme.pk), access="only", permissions=["organization.view_organization"]
    )
    api_key = ApiKey.objects.get()

    assert hash_api_key(find_secret(response)) == api_key.hashed_key
    assert (api_key.prefix, api_key.user, api_key.organization) == ("csu", people["editor"], None)
    assert api_key.restricted_to == acme
    assert api_key.permissions == ["organization.view_organization"]
    assert f'href="{LIST}{api_key.pk}/" data-stored' in response.text


def test_a_key_is_restricted_to_an_organization_of_ones_own(editor, people):
    foreign = OrganizationFactory.create(name="Foreign")
    text = create(editor, NEW, restricted_to=str(foreign.pk)).text

    assert "is not one of the available choices" in text
    assert "Foreign" not in text
    assert not ApiKey.objects.exists()


def test_what_a_key_can_do(editor, api_key, people):
    MembershipFactory.create(user=people["editor"], role="billing", organization__name="Beta")
    text = re.sub(r"<[^>]+>|\s+", " ", editor.get(f"{LIST}{api_key.pk}/").text)
    assert re.search(r"Acme Foods +Editor +View the organization, Contribute content ", text)
    assert re.search(r"Beta +Billing +View the organization, Manage billing ", text)

    change(api_key, permissions=["organization.manage_billing"])
    text = re.sub(r"<[^>]+>|\s+", " ", editor.get(f"{LIST}{api_key.pk}/").text)
    assert re.search(r"Acme Foods +Editor +Nothing ", text)
    assert re.search(r"Beta +Billing +Manage billing ", text)

    api_key.revoke()
    text = re.sub(r"<[^>]+>|\s+", " ", editor.get(f"{LIST}{api_key.pk}/").text)
    assert re.search(r"Beta +Billing +Nothing ", text)


def test_changing_a_key(editor, api_key, acme):
    page = f"{LIST}{api_key.pk}/"
    data = get_fields(editor.get(page))
    assert editor.post(page, data | {"name": "Other", "restricted_to": str(acme.pk)})["Location"] == page
    api_key.refresh_from_db()
    assert (api_key.name, api_key.restricted_to) == ("Other", acme)
    assert AuditEntry.objects.get(event="api_key_changed").target_id == api_key.pk
    text = editor.get(page).text
    assert "<b>the-editor</b> changed the key" in text
    # There is no audit log of a person.
    assert "/audit/" not in text

    editor.post(page, get_fields(editor.get(page)) | {"restricted_to": ""})
    api_key.refresh_from_db()
    assert api_key.restricted_to is None


def test_a_key_of_a_former_organization_keeps_its_restriction(editor, api_key, people):
    beta = OrganizationFactory.create(name="Beta")
    change(api_key, restricted_to=beta)
    page = f"{LIST}{api_key.pk}/"
    data = get_fields(editor.get(page))
    assert data["restricted_to"] == str(beta.pk)
    editor.post(page, data | {"name": "Other"})
    api_key.refresh_from_db()

    assert (api_key.name, api_key.restricted_to) == ("Other", beta)


def test_rotating_and_revoking(editor, api_key):
    response = editor.post(f"{LIST}{api_key.pk}/rotate/", {"grace": "3600"})
    successor = ApiKey.objects.get(rotated_from=api_key)
    assert hash_api_key(find_secret(response)) == successor.hashed_key
    assert f'<a href="{LIST}{api_key.pk}/revoke/">End it now</a>' in response.text

    assert editor.post(f"{LIST}{api_key.pk}/revoke/")["Location"] == LIST
    api_key.refresh_from_db()
    successor.refresh_from_db()
    assert (api_key.is_active, successor.is_active) == (False, True)


def test_keys_of_others_are_not_found(editor, people, acme):
    others = [make_key("csu", user=people["owner"])[0], make_key(organization=acme)[0]]
    for other in others:
        for page in ("", "rotate/", "revoke/"):
            for send in (editor.get, editor.post):
                assert send(f"{LIST}{other.pk}/{page}").status_code == 404
        other.refresh_from_db()
        assert other.is_active


# The members' user keys in an organization


def test_the_user_keys_of_members(owner, people, acme, api_key):
    change(api_key, last_used=timezone.now() - timedelta(days=2))
    make_key("csu", user=UserFactory.create(username="stranger"))
    make_key("csu", user=people["owner"], restricted_to=MembershipFactory.create(user=people["owner"]).organization)
    text = owner.get(USER_KEYS).text

    assert f'<strong>the-editor</strong><br><span class="ca-muted ca-small"><code>csu_{api_key.hint}…</code>' in text
    assert "2 days ago" in text
    # Its name is the user's own.
    assert "Script" not in text
    assert "stranger" not in text
    assert "the-owner</strong>" not in text
    assert f'href="{USER_KEYS}"' in owner.get("/settings/o/acme/keys/").text


def test_shutting_out_and_letting_in(owner, people, acme, api_key):
    other, _ = make_key("csu", user=people["editor"])
    page = f"{USER_KEYS}{api_key.pk}/"
    response = owner.post(page, {"access": "refuse"}, follow=True)
    assert response.redirect_chain == [(USER_KEYS, 302)]
    assert "The key is shut out." in response.text
    api_key.refresh_from_db()
    other.refresh_from_db()
    assert (api_key.shut_out_of, other.shut_out_of) == ([str(acme.pk)], [])
    assert '<span class="ca-badge ca-bad">Shut out</span>' in response.text
    assert response.text.count('<span class="ca-badge ca-good">Works here</span>') == 1

    response = owner.post(page, {"access": "accept"}, follow=True)
    assert "The key is let in again." in response.text
    assert response.text.count('<span class="ca-badge ca-good">Works here</span>') == 2
    api_key.refresh_from_db()
    assert api_key.shut_out_of == []
    assert owner.get(page).status_code == 405


def test_the_switch_for_all_user_keys(owner, acme):
    assert "User keys are refused here from now on." in owner.post(USER_KEYS, {"access": "refuse"}, follow=True).text
    acme.refresh_from_db()
    assert not acme.user_keys_allowed
    assert "User keys are refused here" in owner.get(USER_KEYS).text

    assert "work here again" in owner.post(USER_KEYS, {"access": "accept"}, follow=True).text
    acme.refresh_from_db()
    assert acme.user_keys_allowed
    assert AuditEntry.objects.filter(event="organization_changed").count() == 2


@pytest.mark.parametrize("data", [{}, {"access": "odd"}])
def test_another_button_changes_nothing(owner, acme, api_key, data):
    for page in (USER_KEYS, f"{USER_KEYS}{api_key.pk}/"):
        response = owner.post(page, data)
        assert 'id="ca-errors"' in response.text
    acme.refresh_from_db()
    api_key.refresh_from_db()
    assert (acme.user_keys_allowed, api_key.shut_out_of) == (True, [])


def test_only_keys_of_members_are_shut_out(owner):
    strangers, _ = make_key("csu")

    assert owner.post(f"{USER_KEYS}{strangers.pk}/", {"access": "refuse"}).status_code == 404
    strangers.refresh_from_db()
    assert strangers.shut_out_of == []


def test_the_user_keys_take_as_many_queries_for_many(owner, people, acme):
    make_key("csu", user=people["editor"])
    owner.get(USER_KEYS)
    with CaptureQueriesContext(connection) as one:
        owner.get(USER_KEYS)
    for _ in range(24):
        make_key("csu", user=MembershipFactory.create(organization=acme).user)
    with CaptureQueriesContext(connection) as many:
        owner.get(USER_KEYS)

    assert len(many) == len(one)


def test_no_user_keys(owner):
    assert "No member has a key that can act here." in owner.get(USER_KEYS).text
