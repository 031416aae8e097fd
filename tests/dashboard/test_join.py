"""The pages on which people accept or decline an invitation."""

from __future__ import annotations

import re
import sys
from http import HTTPStatus
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.contrib.sessions.models import Session
from django.core.signals import got_request_exception
from django.db import DatabaseError, IntegrityError
from django.test import Client
from django.utils import timezone
from django.views.debug import ExceptionReporter
from django.views.decorators.debug import sensitive_variables

from closient_auth.dashboard.join import SESSION_KEY, get_mark
from closient_auth.limits.windows import Window
from closient_auth.models import AuditEntry, Invitation, Membership
from tests.dashboard.markup import Markup, fill
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_invitation
from tests.leaks.sinks import Sinks

pytestmark = pytest.mark.django_db

JOIN = "/settings/join/"
LOGIN = "/login/?next=/settings/join/"
INVALID = "This invitation is invalid or has expired. Ask for a new one."
# Where the pages go on without an invitation.
PATHS = {"get": [JOIN], "post": [JOIN, f"{JOIN}decline/"]}


@pytest.fixture
def grace(db):
    user = UserFactory.create(username="grace", email="grace@demo.example")
    user.set_password("demo")
    user.save()
    return user


@pytest.fixture
def invited(acme, people):
    """Return an invitation to grace, and its token."""
    people["owner"].first_name, people["owner"].last_name = "Ada", "Lindqvist"
    people["owner"].save()
    return make_invitation(acme, "grace@demo.example", by=people["owner"], role="manager")


@pytest.fixture
def token(invited):
    return invited[1]


def read(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def get_state(invitation):
    return Invitation.objects.get(pk=invitation.pk).state


def log_in(client, user):
    return client.post(LOGIN, {"username": user.username, "password": "demo"})


def answer(client, path, *, is_followed=False, **data):
    """Press a button of the page with the invitation of the session."""
    shown = get_mark(client)
    return client.post(path, {"shown": shown, **data}, follow=is_followed)


def test_the_link_leaves_the_address_at_once(client, token):
    response = client.get(f"{JOIN}{token}/")

    assert (response.status_code, response["Location"]) == (302, JOIN)
    assert response["Referrer-Policy"] == "no-referrer"
    assert "no-store" in response["Cache-Control"]
    assert client.session[SESSION_KEY] == token


def test_the_whole_way(client, acme, grace, invited):
    invitation, token = invited
    with Sinks() as sinks:
        sinks.add_response(client.get(f"{JOIN}{token}/"))
        page = sinks.add_response(client.get(JOIN))
        assert "Sign in to see the invitation." in page.text
        assert f'href="{LOGIN}"' in page.text
        # Whoever has found the link does not learn who invites whom.
        for name in ("Acme", "acme", "Ada", "Lindqvist", "grace", "demo.example", "Manager"):
            assert name not in page.text
        response = sinks.add_response(log_in(client, grace))
        assert response["Location"] == JOIN
        page = sinks.add_response(client.get(JOIN))
        assert "Ada Lindqvist invites you to join Acme Foods" in page.text
        assert "Manager" in page.text
        assert "Join Acme Foods" in page.text
        response = sinks.add_response(answer(client, JOIN))
        assert (response.status_code, response["Location"]) == (302, "/settings/o/acme/")
        assert read(response) == ["You are a member of Acme Foods now. Your role is Manager."]
        assert sinks.add_response(client.get(response["Location"], follow=True)).status_code == HTTPStatus.OK
        assert sinks.find(token) == set()
    assert SESSION_KEY not in client.session
    assert Membership.objects.get(user=grace).role == "manager"
    assert get_state(invitation) == "accepted"
    entry = AuditEntry.objects.get(event="invitation_accepted")
    assert (entry.actor, entry.organization_id) == ("grace", acme.pk)


def test_looking_changes_nothing(client, grace, invited):
    invitation, token = invited
    client.force_login(grace)
    client.get(f"{JOIN}{token}/")
    client.get(JOIN)
    client.head(f"{JOIN}{token}/")

    assert get_state(invitation) == "pending"
    assert not Membership.objects.filter(user=grace).exists()


@pytest.mark.parametrize("path", [JOIN, f"{JOIN}decline/"])
@pytest.mark.parametrize("shown", ["first", "none"])
def test_an_answer_is_about_the_invitation_that_was_shown(client, grace, invited, path, shown):
    """Otherwise, a link that somebody else sends could put another organization behind the button."""
    first, token = invited
    stranger = MembershipFactory.create(organization__name="Umbra Foods", role="owner")
    second, other_token = make_invitation(stranger.organization, grace.email, by=stranger.user)
    client.force_login(grace)
    client.get(f"{JOIN}{token}/")
    page = Markup(client.get(JOIN).text)
    (data,) = [fill(form, {}) for form in page.forms if form.action == path]
    client.get(f"{JOIN}{other_token}/")
    response = client.post(path, data if shown == "first" else {})

    assert response.status_code == HTTPStatus.OK
    assert "You have opened another invitation since." in response.text
    assert "Join Umbra Foods" in response.text
    assert (get_state(first), get_state(second)) == ("pending", "pending")
    assert not Membership.objects.filter(user=grace).exists()
    (data,) = [fill(form, {}) for form in Markup(response.text).forms if form.action == path]
    assert client.post(path, data).status_code == HTTPStatus.FOUND
    assert get_state(second) != "pending"


def test_declining(client, grace, invited):
    invitation, token = invited
    client.force_login(grace)
    client.get(f"{JOIN}{token}/")
    assert client.get(f"{JOIN}decline/").status_code == HTTPStatus.METHOD_NOT_ALLOWED
    response = answer(client, f"{JOIN}decline/")

    assert (response.status_code, response["Location"]) == (302, "/settings/")
    assert read(response) == ["You have declined the invitation."]
    assert get_state(invitation) == "declined"
    assert SESSION_KEY not in client.session
    assert not Membership.objects.filter(user=grace).exists()


def test_somebody_else_is_signed_in(client, outsider, grace, invited):
    invitation, token = invited
    outsider.username = "<b>eve</b>"
    outsider.save()
    client.force_login(outsider)
    client.get(f"{JOIN}{token}/")
    page = client.get(JOIN).text

    assert "<strong>g…@demo.example</strong>; you are signed in as <strong>&lt;b&gt;eve&lt;/b&gt;</strong>." in page
    for name in ("Acme", "Ada", "grace@"):
        assert name not in page
    for path in PATHS["post"]:
        assert answer(client, path).status_code == HTTPStatus.OK
    assert get_state(invitation) == "pending"
    old = client.session.session_key
    response = client.post("/settings/sign-out/", {"then": "invitation"})
    assert response["Location"] == LOGIN
    assert token not in str(response.headers)
    assert client.session.session_key != old
    assert not Session.objects.filter(pk=old).exists()
    assert "Sign in to see the invitation." in client.get(JOIN).text
    assert log_in(client, grace)["Location"] == JOIN
    assert "Join Acme Foods" in client.get(JOIN).text


@pytest.mark.parametrize("then", ["", "https://evil.example/", "//evil.example", "home", "invitation"])
def test_signing_out_leads_nowhere_else(client, outsider, then):
    client.force_login(outsider)

    assert client.post("/settings/sign-out/", {"then": then})["Location"] == "/login/"


def test_signing_out_for_good_forgets_the_invitation(client, outsider, token):
    client.force_login(outsider)
    client.get(f"{JOIN}{token}/")
    client.post("/settings/sign-out/")

    assert SESSION_KEY not in client.session


@pytest.mark.parametrize("query", ["next=https://evil.example/", "next=//evil.example"])
def test_no_redirect_to_another_site(client, grace, token, query):
    assert client.get(f"{JOIN}{token}/?{query}")["Location"] == JOIN
    assert "evil.example" not in client.get(f"{JOIN}?{query}").text
    client.force_login(grace)
    client.get(f"{JOIN}{token}/")
    assert answer(client, f"{JOIN}?{query}")["Location"] == "/settings/o/acme/"


@pytest.mark.parametrize(
    "cause", ["expired", "withdrawn", "declined", "accepted", "void", "unknown", "gone", "replaced"]
)
@pytest.mark.parametrize("signed_in", [True, False])
def test_one_text_for_all_that_is_invalid(client, people, grace, invited, cause, signed_in):
    invitation, token = invited
    now = timezone.now()
    if signed_in:
        client.force_login(grace)
    client.get(f"{JOIN}{token}/")
    rows = Invitation.objects.filter(pk=invitation.pk)
    changes = {
        "expired": lambda: rows.update(expires_at=now),
        "withdrawn": lambda: rows.update(withdrawn_at=now),
        "declined": lambda: rows.update(declined_at=now),
        "accepted": lambda: rows.update(accepted_at=now),
        "void": lambda: Membership.objects.filter(user=people["owner"]).update(role="editor"),
        "gone": rows.delete,
        "replaced": lambda: invitation.resend(by=people["owner"]),
        "unknown": lambda: client.get(f"{JOIN}{'x' * 32}/"),
    }
    changes[cause]()
    page = client.get(JOIN)
    if cause == "accepted" and not signed_in:
        # The one who has accepted it can sign in.
        assert "Sign in to see the invitation." in page.text
        client.force_login(grace)
        page = client.get(JOIN)

    assert page.status_code == HTTPStatus.OK
    assert INVALID in page.text
    assert "Acme Foods" not in page.text
    assert "Ada" not in page.text
    assert SESSION_KEY not in client.session
    # The next request has no invitation, and neither has the link.
    client.get(f"{JOIN}{'x' * 32 if cause == 'unknown' else token}/")
    assert SESSION_KEY not in client.session
    # The menu has a CSRF token, which is another one each time.
    assert client.get(JOIN).text.partition("<main")[2] == page.text.partition("<main")[2]


def test_an_unknown_link_leaves_no_session(client, token):
    client.get(f"{JOIN}{'x' * 32}/")
    client.get(f"{JOIN}\0/")

    assert not Session.objects.exists()
    assert not client.cookies.get("sessionid")


def test_an_invitation_that_ends_before_the_button(client, grace, invited):
    invitation, token = invited
    client.force_login(grace)
    for path in PATHS["post"]:
        Invitation.objects.filter(pk=invitation.pk).update(withdrawn_at=None)
        client.get(f"{JOIN}{token}/")
        Invitation.objects.filter(pk=invitation.pk).update(withdrawn_at=timezone.now())
        response = answer(client, path)
        assert (response.status_code, INVALID in response.text) == (200, True)
        assert SESSION_KEY not in client.session
    assert not Membership.objects.filter(user=grace).exists()


def test_a_second_click(client, grace, token):
    client.force_login(grace)
    client.get(f"{JOIN}{token}/")
    answer(client, JOIN)
    again = answer(client, JOIN)

    assert (again.status_code, again["Location"]) == (302, "/settings/")
    assert Membership.objects.filter(user=grace).count() == 1


def test_two_clicks_at_once(client, grace, token):
    """Both read the session before one writes it."""
    client.force_login(grace)
    client.get(f"{JOIN}{token}/")
    answer(client, JOIN)
    session = client.session
    session[SESSION_KEY] = token
    session.save()

    assert answer(client, JOIN)["Location"] == "/settings/o/acme/"
    assert Membership.objects.filter(user=grace).count() == 1


def test_a_member_keeps_the_role(client, acme, people, token):
    people["editor"].email = "grace@demo.example"
    people["editor"].save()
    client.force_login(people["editor"])
    client.get(f"{JOIN}{token}/")
    response = answer(client, JOIN)

    assert read(response) == ["You are a member of Acme Foods now. Your role is Editor."]
    assert Membership.objects.get(user=people["editor"]).role == "editor"


@pytest.mark.parametrize("path", PATHS["post"])
def test_buttons_need_a_login(client, invited, path):
    invitation, token = invited
    client.get(f"{JOIN}{token}/")
    response = answer(client, path)

    assert (response.status_code, response["Location"]) == (302, LOGIN)
    assert get_state(invitation) == "pending"


@pytest.mark.parametrize("path", PATHS["post"])
def test_buttons_need_a_csrf_token(grace, invited, path):
    invitation, token = invited
    client = Client(enforce_csrf_checks=True)
    client.force_login(grace)
    client.get(f"{JOIN}{token}/")

    assert answer(client, path).status_code == HTTPStatus.FORBIDDEN
    assert get_state(invitation) == "pending"
    page = client.get(JOIN).text
    csrf = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert csrf
    assert answer(client, path, csrfmiddlewaretoken=csrf[1]).status_code == HTTPStatus.FOUND
    assert get_state(invitation) != "pending"


def test_a_deactivated_user_is_not_signed_in(client, grace, token, settings):
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]
    client.force_login(grace)
    grace.is_active = False
    grace.save()
    client.get(f"{JOIN}{token}/")

    assert "Sign in to see the invitation." in client.get(JOIN).text
    assert answer(client, JOIN)["Location"] == LOGIN
    assert not Membership.objects.filter(user=grace).exists()


def test_a_suspended_organization(client, acme, grace, invited):
    invitation, token = invited
    client.force_login(grace)
    client.get(f"{JOIN}{token}/")
    acme.suspend()
    response = answer(client, JOIN)

    assert "This organization is suspended. Try again later." in response.text
    assert client.session[SESSION_KEY] == token
    assert get_state(invitation) == "pending"
    acme.lift_suspension()
    assert answer(client, JOIN).status_code == HTTPStatus.FOUND


def test_answers_are_limited(client, grace, invited, monkeypatch):
    monkeypatch.setattr("closient_auth.dashboard.frame.CHANGE_WINDOWS", (Window(0, 86_400),))
    invitation, token = invited
    client.force_login(grace)
    client.get(f"{JOIN}{token}/")

    for path in PATHS["post"]:
        assert "Too many changes. Try again in" in answer(client, path).text
    assert get_state(invitation) == "pending"


@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_the_link_leads_a_member_to_the_organization(client, grace, invited, when):
    """People click the link in the mail again. ``when`` they sign in: before the link, before the page, or after it."""
    invitation, token = invited
    Invitation.objects.accept(token, grace)
    if when == "before":
        client.force_login(grace)
    client.get(f"{JOIN}{token}/")
    assert client.session[SESSION_KEY] == token
    if when == "after":
        page = client.get(JOIN).text
        assert f'href="{LOGIN}"' in page
        for name in ("Acme", "Ada", "grace", "demo.example"):
            assert name not in page
        assert log_in(client, grace)["Location"] == JOIN
    elif when == "between":
        client.force_login(grace)
    response = client.get(JOIN)

    assert (response.status_code, response["Location"]) == (302, "/settings/o/acme/")
    assert read(response)[-1:] == ["You are a member of Acme Foods."]
    assert SESSION_KEY not in client.session
    assert Membership.objects.filter(user=grace).count() == 1
    assert AuditEntry.objects.filter(event="invitation_accepted").count() == 1


@pytest.mark.parametrize("who", ["outsider", "removed", "other_address", "inactive"])
def test_the_link_of_an_accepted_invitation_leads_nobody_else(client, acme, outsider, grace, token, who):
    Invitation.objects.accept(token, grace)
    user = outsider if who == "outsider" else grace
    if who == "removed":
        Membership.objects.get(user=grace).remove()
    elif who == "other_address":
        grace.email = "other@demo.example"
        grace.save()
    client.get(f"{JOIN}{token}/")
    if who == "inactive":
        grace.is_active = False
        grace.save()
        assert "Sign in to see the invitation." in client.get(JOIN).text
        return
    client.force_login(user)
    pages = [client.get(JOIN)]
    client.get(f"{JOIN}{token}/")
    assert SESSION_KEY not in client.session
    pages.append(client.get(JOIN))
    client.get(f"{JOIN}{'x' * 32}/")
    unknown = client.get(JOIN).text.partition("<main")[2]

    for page in pages:
        assert INVALID in page.text
        assert page.text.partition("<main")[2] == unknown
    assert INVALID in client.post(f"{JOIN}code/", {"code": token}).text


def test_the_code_leads_a_member_to_the_organization(client, grace, token):
    Invitation.objects.accept(token, grace)
    client.force_login(grace)

    assert client.post(f"{JOIN}code/", {"code": token})["Location"] == JOIN
    assert client.get(JOIN)["Location"] == "/settings/o/acme/"


def test_a_member_cannot_decline_any_more(client, grace, invited):
    """The button of another tab."""
    invitation, token = invited
    client.force_login(grace)
    client.get(f"{JOIN}{token}/")
    Invitation.objects.accept(token, grace)
    response = answer(client, f"{JOIN}decline/")

    assert (response.status_code, response["Location"]) == (302, "/settings/o/acme/")
    assert read(response) == ["You are a member of Acme Foods."]
    assert get_state(invitation) == "accepted"


@pytest.mark.parametrize("error", [IntegrityError, DatabaseError])
def test_a_conflict_can_be_repeated(client, grace, invited, monkeypatch, error):
    def fail(self, *args, **kwargs):
        raise error

    invitation, token = invited
    client.force_login(grace)
    client.get(f"{JOIN}{token}/")
    with monkeypatch.context() as patch:
        patch.setattr(type(Invitation.objects), "accept", fail)
        if error is DatabaseError:
            with pytest.raises(DatabaseError):
                answer(client, JOIN)
        else:
            assert "Somebody changed this at the same moment." in answer(client, JOIN).text
    assert client.session[SESSION_KEY] == token
    assert answer(client, JOIN).status_code == HTTPStatus.FOUND


@pytest.mark.parametrize(
    "entry",
    ["{token}", "  {token}\n", "http://testserver/settings/join/{token}/", "https://a.example/?code={token}&x=1"],
)
def test_code(client, grace, token, entry):
    client.force_login(grace)
    assert client.get(f"{JOIN}code/").status_code == HTTPStatus.OK
    response = client.post(f"{JOIN}code/", {"code": entry.format(token=token)})

    assert (response.status_code, response["Location"]) == (302, JOIN)
    assert "Join Acme Foods" in client.get(JOIN).text


@pytest.mark.parametrize("entry", ["nonsense", "x" * 32, "{token}x", "x{token}", "\0"])
def test_code_that_is_none(client, grace, token, entry):
    client.force_login(grace)
    response = client.post(f"{JOIN}code/", {"code": entry.format(token=token)})

    assert response.status_code == HTTPStatus.OK
    assert (INVALID in response.text) or entry == "\0"
    assert SESSION_KEY not in client.session


def test_code_needs_a_login(client, token):
    response = client.post(f"{JOIN}code/", {"code": token})

    assert response["Location"] == "/login/?next=/settings/join/code/"
    assert SESSION_KEY not in client.session


@pytest.mark.parametrize(
    "path", [JOIN, f"{JOIN}{'x' * 32}/", f"{JOIN}code/", f"{JOIN}decline/", f"/settings/invitations/{uuid4()}/accept/"]
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_project_with_members_of_its_own_has_its_own_pages(sign_in, outsider, settings, path, method):
    settings.CLOSIENT_AUTH = {"MEMBERSHIPS": "tests.memberships.adapters.TeamMemberships"}

    assert getattr(sign_in(outsider), method)(path).status_code == HTTPStatus.NOT_FOUND


def test_names_are_escaped(client, acme, people, grace, token):
    evil = "<script>alert(1)</script>"
    acme.name = people["owner"].last_name = evil
    acme.save()
    people["owner"].save()
    client.force_login(grace)
    client.get(f"{JOIN}{token}/")
    pages = [client.get(JOIN).text, answer(client, JOIN, is_followed=True).text]

    for page in pages:
        assert evil not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


# Invitations to verified addresses, on the first page.


def get_addresses(user):
    return [user.email] if user.username == "grace" else []


@pytest.fixture
def verified(settings):
    settings.CLOSIENT_AUTH = {"VERIFIED_ADDRESSES": "tests.dashboard.test_join.get_addresses"}


def test_joining_without_the_mail(client, grace, invited, verified):
    invitation, _ = invited
    other = MembershipFactory.create(role="owner")
    make_invitation(other.organization, "grace@demo.example", by=other.user)
    client.force_login(grace)
    page = client.get("/settings/").text

    assert "Ada Lindqvist invites you as Manager." in page
    assert f"/settings/invitations/{invitation.pk}/accept/" in page
    response = client.post(f"/settings/invitations/{invitation.pk}/accept/")
    assert response["Location"] == "/settings/o/acme/"
    member = Membership.objects.get(user=grace)
    assert (member.organization_id, member.role) == (invitation.organization_id, "manager")
    assert "Ada Lindqvist invites" not in client.get("/settings/").text


def test_declining_without_the_mail(client, grace, invited, verified):
    invitation, _ = invited
    client.force_login(grace)
    response = client.post(f"/settings/invitations/{invitation.pk}/decline/")

    assert (response["Location"], get_state(invitation)) == ("/settings/", "declined")


def test_an_address_that_is_not_verified_needs_the_mail(client, grace, invited):
    invitation, _ = invited
    client.force_login(grace)
    page = client.get("/settings/").text

    assert "To join, use the link in the mail." in page
    assert f"{invitation.pk}/accept/" not in page
    for path in ("accept", "decline"):
        response = client.post(f"/settings/invitations/{invitation.pk}/{path}/")
        assert response["Location"] == "/settings/"
        assert read(response)[-1:] == ["Your e-mail address is not verified. Use the link or the code in the mail."]
    assert get_state(invitation) == "pending"


@pytest.mark.parametrize("path", ["accept", "decline"])
@pytest.mark.parametrize("pk", ["other", "unknown", "nonsense", "withdrawn"])
def test_invitations_of_others_are_404(client, grace, acme, people, verified, path, pk):
    other = make_invitation(acme, "other@demo.example", by=people["owner"])[0]
    ended = make_invitation(acme, "grace@demo.example", by=people["owner"])[0]
    ended.withdraw()
    client.force_login(grace)
    pks = {"other": other.pk, "unknown": uuid4(), "withdrawn": ended.pk}

    assert client.post(f"/settings/invitations/{pks.get(pk, pk)}/{path}/").status_code == HTTPStatus.NOT_FOUND
    assert get_state(other) == "pending"
    assert not Membership.objects.filter(user=grace).exists()


@pytest.mark.parametrize("path", ["accept", "decline"])
def test_own_invitations_need_post_login_and_csrf_token(grace, invited, verified, path):
    invitation, _ = invited
    url = f"/settings/invitations/{invitation.pk}/{path}/"
    client = Client(enforce_csrf_checks=True)
    client.get("/login/")
    csrf = {"csrfmiddlewaretoken": client.cookies["csrftoken"].value}
    assert client.post(url, csrf)["Location"] == f"/login/?next={url}"
    client.force_login(grace)
    assert client.get(url).status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert client.post(url).status_code == HTTPStatus.FORBIDDEN
    assert get_state(invitation) == "pending"
    assert client.post(url, csrf).status_code == HTTPStatus.FOUND


def test_joining_leaves_other_organizations_alone(client, grace, invited):
    elsewhere = OrganizationFactory.create()
    owner = MembershipFactory.create(organization=elsewhere, role="owner").user
    other = make_invitation(elsewhere, "grace@demo.example", by=owner)[0]
    client.force_login(grace)
    client.get(f"{JOIN}{invited[1]}/")
    answer(client, JOIN)

    assert get_state(other) == "pending"
    assert not Membership.objects.filter(user=grace, organization=elsewhere).exists()


@pytest.fixture
def reports():
    """Return the reports of unhandled exceptions, as Django mails them to ``ADMINS``."""
    found: list[str] = []

    def note(request, **kwargs):
        reporter = ExceptionReporter(request, *sys.exc_info())
        found.extend([reporter.get_traceback_html(), reporter.get_traceback_text()])

    got_request_exception.connect(note)
    yield found
    got_request_exception.disconnect(note)


@pytest.mark.parametrize("way", ["page", "code", "button", "decline"])
def test_an_error_report_does_not_show_the_token(client, grace, token, monkeypatch, reports, caplog, way):
    @sensitive_variables()
    def fail(self, token, *args, **kwargs):
        raise DatabaseError("No connection.")

    client.raise_request_exception = False
    client.force_login(grace)
    client.get(f"{JOIN}{token}/")
    for name in ("find_valid", "accept", "decline"):
        monkeypatch.setattr(type(Invitation.objects), name, fail)
    requests = {
        "page": lambda: client.get(JOIN),
        "code": lambda: client.post(f"{JOIN}code/", {"code": token}),
        "button": lambda: answer(client, JOIN),
        "decline": lambda: answer(client, f"{JOIN}decline/"),
    }
    assert requests[way]().status_code == HTTPStatus.INTERNAL_SERVER_ERROR

    assert "No connection." in reports[0]
    assert not any(token in text for text in [*reports, caplog.text])
