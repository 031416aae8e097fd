from __future__ import annotations

import re
from datetime import timedelta
from http import HTTPStatus

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import strip_tags

from closient_auth.models import AuditEntry, Invitation
from tests.admin.browser import read_form
from tests.admin.members import join
from tests.factories import OrganizationFactory, UserFactory, make_invitation

CONFIRMED = {"post": "yes"}


def messages(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def stored(invitation):
    return Invitation.objects.values().get(pk=invitation.pk)


@pytest.fixture
def owner(organization):
    return join(organization, "owner", username="ada").user


@pytest.fixture
def invitation(organization, owner):
    return make_invitation(organization, "ben@example.com", by=owner)[0]


def listed(client, page, **query):
    response = client.get(page("invitation_changelist"), query)
    assert response.status_code == HTTPStatus.OK
    return {invitation.email for invitation in response.context["cl"].result_list}


def test_list_and_filters(root, page, organization, owner):
    for name in ("pending", "accepted", "declined", "withdrawn", "expired"):
        make_invitation(organization, f"{name}@example.com", by=owner, role="manager")
    now = timezone.now()
    Invitation.objects.filter(email__startswith="accepted").update(accepted_at=now)
    Invitation.objects.filter(email__startswith="declined").update(declined_at=now)
    Invitation.objects.filter(email__startswith="withdrawn").update(withdrawn_at=now)
    Invitation.objects.filter(email__startswith="expired").update(expires_at=now - timedelta(days=2))
    grace = UserFactory.create(username="grace")
    make_invitation(OrganizationFactory.create(slug="other"), "other@example.com", by=grace)

    for state in ("accepted", "declined", "withdrawn", "expired"):
        assert listed(root, page, state=state) == {f"{state}@example.com"}
    assert listed(root, page, state="pending") == {"pending@example.com", "other@example.com"}
    assert len(listed(root, page, state="unknown")) == 6
    assert listed(root, page, organization="other") == listed(root, page, invited_by="grace") == {"other@example.com"}
    assert listed(root, page, role__exact="editor") == listed(root, page, q="OTHER@") == {"other@example.com"}
    content = root.get(page("invitation_changelist"), {"q": "expired@"}).content.decode()
    row = content.partition("<tbody>")[2].partition("</tbody>")[0]
    cells = [strip_tags(cell) for cell in re.findall(r'class="field-[^>]*>(.*?)</t[dh]>', row)]
    assert cells == ["expired@example.com", "Acme Foods", "Manager", "Expired", "ada", "just now", "expired 2 days ago"]
    assert '<span class="badge badge-expired">Expired</span>' in row
    assert (
        '<td class="field-expiry">-</td>' in root.get(page("invitation_changelist"), {"q": "accept"}).content.decode()
    )


def readonly(content):
    fields = re.findall(r'class="form-row field-(\w+)">(.*?)<div class="readonly">(.*?)</div>', content, re.S)
    return {name: strip_tags(value).strip() for name, _, value in fields}


def test_page_tells_what_became_of_the_mail(root, page, invitation):
    address, now = page("invitation_change", invitation.pk), timezone.now()
    local = date_format(timezone.localtime(now), "DATETIME_FORMAT")

    Invitation.objects.update(last_sent_at=None)
    fields = readonly(root.get(address).content.decode())
    assert (fields["last_sent_at"], fields["mail"], fields["declined_at"]) == ("-", "-", "-")
    Invitation.objects.update(last_sent_at=now, declined_at=now)
    fields = readonly(root.get(address).content.decode())
    assert (fields["last_sent_at"], fields["mail"]) == (local, "handed over to the mail server")
    assert (fields["declined_at"], fields["state"]) == (local, "Declined")
    Invitation.objects.update(last_error="SMTPRecipientsRefused<b>")
    content = root.get(address).content.decode()
    assert readonly(content)["mail"] == "could not be sent (SMTPRecipientsRefused&lt;b&gt;)"


def test_list_tells_of_mails_that_could_not_be_sent(root, page, organization, owner, invitation):
    broken, _ = make_invitation(organization, "broken@example.com", by=owner)
    Invitation.objects.filter(pk=broken.pk).update(
        last_error="SMTPRecipientsRefused", last_sent_at=timezone.now() - timedelta(hours=3)
    )

    cells = {}
    assert listed(root, page, o="6") == {"ben@example.com", "broken@example.com"}
    for row in root.get(page("invitation_changelist")).content.decode().partition("<tbody>")[2].split("</tr>")[:2]:
        sent = row.partition('<td class="field-sent')[2].partition("</td>")[0].partition(">")[2]
        cells["broken" if "broken@" in row else "other"] = strip_tags(sent)

    assert cells == {"broken": "3 hours agocould not be sent", "other": "just now"}


def test_list_of_many_invitations_takes_as_many_queries_as_one(root, page, count_queries, invitation):
    few = count_queries(root, page("invitation_changelist"))
    for number in range(10):
        make_invitation(OrganizationFactory.create(), f"{number}@example.com", by=UserFactory.create())

    assert count_queries(root, page("invitation_changelist")) == few


def test_invitation_is_only_read(root, page, invitation):
    address = page("invitation_change", invitation.pk)
    before = stored(invitation)

    content = root.get(address).content.decode()

    assert "ben@example.com" in content
    assert 'name="_save"' not in content
    assert page("invitation_delete", invitation.pk) not in content
    assert f'href="{page("auditentry_changelist")}?row={invitation.pk}" class="historylink"' in content
    assert before["hashed_token"] not in content
    assert root.post(address, {"email": "eve@example.com"}).status_code == HTTPStatus.FORBIDDEN
    assert root.get(page("invitation_add")).status_code == HTTPStatus.FORBIDDEN
    assert root.post(page("invitation_delete", invitation.pk), CONFIRMED).status_code == HTTPStatus.FORBIDDEN
    data = {"action": "delete_selected", "_selected_action": [str(invitation.pk)], **CONFIRMED}
    root.post(page("invitation_changelist"), data)
    assert stored(invitation) == before


@pytest.mark.parametrize("lookup", ["hashed_token", "hashed_token__startswith"])
def test_hash_cannot_be_guessed_by_lookups(root, page, invitation, lookup):
    response = root.get(page("invitation_changelist"), {lookup: invitation.hashed_token})

    assert response.status_code == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("name", ["withdraw", "resend"])
def test_button_asks_first_and_keeps_the_filters(root, page, invitation, name):
    before = stored(invitation)
    filters = "?_changelist_filters=state%3Dpending"
    change, address = page("invitation_change", invitation.pk), page(f"invitation_{name}", invitation.pk)
    assert f'href="{address}{filters}"' in root.get(change + filters).content.decode()

    for response in (root.get(address + filters, CONFIRMED), root.post(address + filters)):
        assert response.status_code == HTTPStatus.OK
        content = response.content.decode()
        assert "ben@example.com to “Acme Foods”" in content
    assert f'href="{change}{filters}">Cancel' in root.get(address + filters).content.decode()
    assert read_form(response, "content-main") == {"post": ["yes"]}
    assert stored(invitation) == before
    response = root.post(address + filters, CONFIRMED)
    assert (response.status_code, response["Location"]) == (HTTPStatus.FOUND, change + filters)


def test_withdrawal_by_staff(page, make_staff, invitation, organization):
    neighbour, _ = make_invitation(organization, "neighbour@example.com", by=UserFactory.create())
    staff = UserFactory.create(username="support")

    response = make_staff("change_invitation", user=staff).post(page("invitation_withdraw", invitation.pk), CONFIRMED)

    assert messages(response) == ["The invitation to ben@example.com is withdrawn."]
    invitation.refresh_from_db()
    neighbour.refresh_from_db()
    assert (invitation.state, neighbour.state) == ("withdrawn", "pending")
    entry = AuditEntry.objects.get(event="invitation_withdrawn")
    assert (entry.actor, entry.user, entry.address) == ("support", staff, "127.0.0.1")
    log = LogEntry.objects.get()
    assert (log.object_id, log.user, log.get_change_message()) == (str(invitation.pk), staff, "Withdrawn.")


def test_invitation_of_an_owner_is_for_owners(page, make_staff, organization, owner):
    invitation, _ = make_invitation(organization, "ben@example.com", by=owner, role="owner")

    response = make_staff("change_invitation").post(page("invitation_withdraw", invitation.pk), CONFIRMED)

    assert messages(response) == ["Your role does not allow this change to members."]
    invitation.refresh_from_db()
    assert invitation.state == "pending"
    assert not LogEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_resending_mails_a_new_token(root, root_user, page, invitation, mailoutbox):
    before = stored(invitation)

    response = root.post(page("invitation_resend", invitation.pk), CONFIRMED)

    assert messages(response) == ["The invitation to ben@example.com was sent again."]
    (mail,) = mailoutbox
    assert mail.to == ["ben@example.com"]
    after = stored(invitation)
    assert after["hashed_token"] != before["hashed_token"]
    assert after["invited_by_id"] == root_user.pk
    assert AuditEntry.objects.get(event="invitation_resent").actor == "root"
    assert LogEntry.objects.get().get_change_message() == "Sent again."


@pytest.mark.django_db(transaction=True)
def test_resending_tells_that_the_mail_failed(root, page, invitation, monkeypatch):
    def fail(*args, **kwargs):
        raise ConnectionRefusedError("203.0.113.7")

    monkeypatch.setattr("closient_auth.models.mails.send_mail", fail)

    response = root.post(page("invitation_resend", invitation.pk), CONFIRMED)

    assert messages(response) == ["The mail to ben@example.com could not be sent."]
    assert stored(invitation)["last_error"] == "ConnectionRefusedError"
    Invitation.objects.update(last_sent_at=None)
    response = root.post(page("invitation_withdraw", invitation.pk), CONFIRMED)
    assert messages(response)[-1] == "The invitation to ben@example.com is withdrawn."


@pytest.mark.django_db(transaction=True)
def test_resending_twice_in_a_minute_is_refused(root, page, invitation, mailoutbox):
    address = page("invitation_resend", invitation.pk)
    root.post(address, CONFIRMED)
    before = stored(invitation)

    response = root.post(address, CONFIRMED)

    text = "This invitation was sent a moment ago. Wait a minute before you send it again."
    assert messages(response)[-1] == text
    assert (stored(invitation), len(mailoutbox)) == (before, 1)


@pytest.mark.django_db(transaction=True)
def test_staff_without_a_membership_cannot_resend(page, make_staff, invitation, mailoutbox):
    """The invitation would be invalid: its inviter could not add a member."""
    before = stored(invitation)

    response = make_staff("change_invitation").post(page("invitation_resend", invitation.pk), CONFIRMED)

    assert messages(response) == ["You are not a member of this organization."]
    assert (stored(invitation), mailoutbox) == (before, [])


def test_declined_invitation_cannot_be_sent_again(root, page, invitation):
    Invitation.objects.update(declined_at=timezone.now())
    before, address = stored(invitation), page("invitation_resend", invitation.pk)

    assert address not in root.get(page("invitation_change", invitation.pk)).content.decode()
    text = "This invitation has already been accepted, declined or withdrawn."
    assert messages(root.post(address, CONFIRMED)) == [text]
    assert stored(invitation) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("withdraw", "This invitation was accepted. Remove the member instead."),
        ("resend", "This invitation has already been accepted, declined or withdrawn."),
    ],
)
def test_accepted_invitation_stays(root, page, invitation, name, text):
    Invitation.objects.update(accepted_at=timezone.now())
    before = stored(invitation)

    assert (
        page(f"invitation_{name}", invitation.pk)
        not in root.get(page("invitation_change", invitation.pk)).content.decode()
    )
    assert messages(root.post(page(f"invitation_{name}", invitation.pk), CONFIRMED)) == [text]
    assert stored(invitation) == before


@pytest.mark.parametrize("name", ["withdraw", "resend"])
def test_buttons_need_the_change_permission(page, make_staff, invitation, name):
    before = stored(invitation)
    client = make_staff("view_invitation", "add_invitation", "delete_invitation", "change_organization")
    address = page(f"invitation_{name}", invitation.pk)

    assert address not in client.get(page("invitation_change", invitation.pk)).content.decode()
    assert client.get(address).status_code == HTTPStatus.FORBIDDEN
    assert client.post(address, CONFIRMED).status_code == HTTPStatus.FORBIDDEN
    assert stored(invitation) == before
    assert address in make_staff("change_invitation").get(page("invitation_change", invitation.pk)).content.decode()


@pytest.mark.parametrize("name", ["withdraw", "resend"])
def test_buttons_need_a_csrf_token(page, make_staff, invitation, name):
    before = stored(invitation)
    client = make_staff("change_invitation", enforce_csrf_checks=True)

    response = client.post(page(f"invitation_{name}", invitation.pk), CONFIRMED)

    assert response.status_code == HTTPStatus.FORBIDDEN
    assert "CSRF verification failed" in response.content.decode()
    assert stored(invitation) == before


@pytest.mark.parametrize("name", ["withdraw", "resend"])
@pytest.mark.parametrize("pk", ["00000000-0000-4000-8000-000000000000", "nothing"])
def test_no_invitation(root, page, name, pk):
    assert root.get(page(f"invitation_{name}", pk)).status_code == HTTPStatus.NOT_FOUND
    assert root.post(page(f"invitation_{name}", pk), CONFIRMED).status_code == HTTPStatus.NOT_FOUND


def test_invitations_go_with_their_organization(page, make_staff, invitation, organization):
    """Whoever may delete the organization needs no permission for its invitations."""
    neighbour, _ = make_invitation(OrganizationFactory.create(), "neighbour@example.com", by=UserFactory.create())
    client = make_staff("delete_organization", "view_organization")

    assert client.post(page("organization_delete", organization.pk), CONFIRMED).status_code == HTTPStatus.FOUND
    assert Invitation.objects.get() == neighbour


def test_texts_are_escaped(root, page, owner):
    organization = OrganizationFactory.create(name="<script>alert(1)</script>")
    invitation, _ = make_invitation(organization, "ben@example.com", by=owner)

    for name in ("change", "withdraw", "resend"):
        content = root.get(page(f"invitation_{name}", invitation.pk)).content.decode()
        assert "&lt;script&gt;alert(1)" in content
        assert "<script>alert(1)" not in content
