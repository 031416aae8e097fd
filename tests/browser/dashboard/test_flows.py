"""What people do in the dashboard, in Chromium with JavaScript and without. The tests find everything by its role and name."""

from __future__ import annotations

import csv
import re
from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from closient_auth.keys import hash_api_key
from closient_auth.models import ApiKey, AuditEntry, Invitation, Membership, Organization
from closient_auth.roles import Role
from tests import settings as tests_settings
from tests.browser.dashboard.inspection import inspect
from tests.dashboard.test_theming import LAYOUT, SITE
from tests.dashboard.world import PASSWORD
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_invitation, make_key

pytest.importorskip("playwright.sync_api")
pytest.importorskip("axe_playwright_python")


@pytest.fixture(params=[True, False], ids=["script", "no script"])
def script(request):
    return request.param


@pytest.fixture
def acme(quiet_site):
    return OrganizationFactory.create(name="Acme Foods")


@pytest.fixture
def people(acme):
    people = {role: MembershipFactory.create(organization=acme, role=role).user for role in Role.values}
    for user in people.values():
        user.set_password(PASSWORD)
        user.save()
    return people


@pytest.fixture
def visit(quiet_site, acme, people, script):
    """Return a function that opens a page of Acme as one of the people, or of a person without an organization."""

    def visit(who, page="", *, path=None):
        tab = quiet_site.open(people.get(who, who), script=script)
        tab.has_script = script
        tab.goto(path or f"/settings/o/{acme.slug}/{page}")
        return tab

    return visit


def click(tab, name, *, role="button", exact=True):
    """Click the first button or link with this name, and wait for the page behind it."""
    follow(tab, tab.get_by_role(role, name=name, exact=exact).first)


def follow(tab, locator):
    """Click what leads to another page, and wait for the page: what it has written is in the database then.

    With scripts, a page that asks for confirmation is shown in a dialog.
    """
    if getattr(tab, "has_script", True) and locator.get_attribute("data-confirm") is not None:
        address = tab.url
        locator.click()
        tab.get_by_role("dialog").wait_for()
        assert tab.url == address
        return
    with tab.expect_navigation():
        locator.click()


def read_secret(tab):
    """Return the new key, and store it as a person does."""
    raw_key = tab.get_by_label("API key", exact=True).input_value()
    assert ApiKey.objects.get(hashed_key=hash_api_key(raw_key)).is_active
    click(tab, "I have stored it", role="link")
    assert raw_key not in tab.content()
    return raw_key


def is_shown(tab, text):
    return tab.locator("main").get_by_text(text).filter(visible=True).count() > 0


@pytest.mark.parametrize("who", ["owner", "manager"])
def test_create_a_key(visit, acme, who):
    tab = visit(who, "keys/")
    click(tab, "Create key", role="link")
    tab.get_by_label("Name", exact=True).fill("Nightly <b>export</b>")
    click(tab, "Create key")
    raw_key = read_secret(tab)

    assert raw_key.startswith("csb_")
    api_key = ApiKey.objects.get(organization=acme)
    assert (api_key.name, api_key.created_by) == ("Nightly <b>export</b>", acme.memberships.get(role=who).user)
    tab.goto(f"/settings/o/{acme.slug}/keys/")
    assert tab.get_by_role("link", name="Nightly <b>export</b>").first.is_visible()


def test_create_a_publishable_key(visit, acme):
    tab = visit("owner", "keys/new/")
    tab.get_by_role("radio", name=re.compile("Publishable")).check()
    tab.get_by_label("Name", exact=True).fill("Product finder")
    click(tab, "Create key")

    assert read_secret(tab).startswith("cpk_")
    assert is_shown(tab, "Safe in web pages")


def test_a_key_needs_a_name(visit, acme):
    tab = visit("owner", "keys/new/")
    click(tab, "Create key")

    assert tab.get_by_role("alert").get_by_role("link", name="Name").is_visible()
    assert not acme.api_keys.exists()


def test_a_form_sent_twice_makes_one_key(visit, acme):
    tab = visit("owner", "keys/new/")
    tab.get_by_label("Name", exact=True).fill("Once")
    click(tab, "Create key")
    raw_key = tab.get_by_label("API key", exact=True).input_value()
    tab.on("dialog", lambda dialog: dialog.accept())
    tab.reload()

    assert is_shown(tab, "No second key was made")
    assert raw_key not in tab.content()
    assert acme.api_keys.count() == 1
    click(tab, "Revoke and create another")
    assert read_secret(tab) != raw_key
    assert acme.api_keys.active().count() == 1


def test_restrict_a_key(visit, acme, people):
    api_key = make_key(organization=acme, by=people["owner"], name="Server")[0]
    tab = visit("owner", f"keys/{api_key.pk}/")
    tab.get_by_text("Restrictions", exact=True).click()
    tab.get_by_label("Only what is checked here").check()
    tab.get_by_label("View the organization").check()
    tab.get_by_label("Networks").fill("203.0.113.0/24\n203.0.113.7/24")
    click(tab, "Save changes")
    assert "203.0.113.7/24" in tab.get_by_label("Networks").input_value()
    tab.get_by_label("Networks").fill("203.0.113.0/24")
    click(tab, "Save changes")

    assert tab.get_by_role("status").filter(has_text=re.compile(r"\w")).first.is_visible()
    api_key.refresh_from_db()
    assert api_key.permissions == ["organization.view_organization"]
    assert api_key.allowed_networks == ["203.0.113.0/24"]


@pytest.mark.parametrize(("grace", "hours"), [("Now: it has leaked", 0), ("In 24 hours", 24)])
def test_rotate_a_key(visit, acme, people, grace, hours):
    api_key = make_key(organization=acme, by=people["owner"], name="Server")[0]
    tab = visit("manager", f"keys/{api_key.pk}/")
    click(tab, "Rotate…", role="link")
    tab.get_by_label(grace).check()
    click(tab, "Rotate")
    read_secret(tab)

    api_key.refresh_from_db()
    assert api_key.is_active is (hours > 0)
    if hours:
        assert api_key.expires_at is not None
        assert abs(api_key.expires_at - timezone.now() - timedelta(hours=hours)) < timedelta(minutes=2)
    assert acme.api_keys.get(rotated_from=api_key).name == "Server"


@pytest.mark.parametrize("is_used", [True, False])
def test_revoke_a_key(visit, acme, people, is_used):
    api_key, neighbour = (make_key(organization=acme, name=name)[0] for name in ("Server", "Other"))
    if is_used:
        ApiKey.objects.filter(pk=api_key.pk).update(last_used=timezone.now())
    tab = visit("manager", f"keys/{api_key.pk}/")
    click(tab, "Revoke…", role="link")
    if is_used:
        click(tab, "Revoke")
        api_key.refresh_from_db()
        assert api_key.is_active
        tab.get_by_label("I know that something uses this key").check()
    click(tab, "Revoke")

    assert tab.get_by_role("status").filter(has_text="revoked").first.is_visible()
    api_key.refresh_from_db()
    neighbour.refresh_from_db()
    assert (api_key.is_active, neighbour.is_active) == (False, True)


def test_find_a_leaked_key(visit, acme):
    api_key, raw_key = make_key(organization=acme, name="Leaked server")
    foreign = make_key(name="Elsewhere")[1]
    tab = visit("manager", "keys/")
    follow(tab, tab.get_by_role("link", name="Found a leaked key?"))
    tab.get_by_label("Key, or a text").fill(foreign)
    click(tab, "Find")
    assert "Elsewhere" not in tab.content()
    tab.get_by_label("Key, or a text").fill(f"GET /orders X-API-Key: {raw_key} 200")
    click(tab, "Find")
    assert is_shown(tab, "Leaked server")
    assert raw_key not in tab.url + tab.content()
    click(tab, "Revoke now")

    api_key.refresh_from_db()
    assert not api_key.is_active
    assert ApiKey.objects.get(hashed_key=hash_api_key(foreign)).is_active


@pytest.mark.parametrize("who", ["editor", "billing"])
def test_own_keys(visit, people, who):
    tab = visit(who, path="/settings/keys/")
    click(tab, "Create key", role="link")
    tab.get_by_label("Name", exact=True).fill("My script")
    click(tab, "Create key")
    assert read_secret(tab).startswith("csu_")
    assert is_shown(tab, "Acme Foods")
    click(tab, "Revoke…", role="link")
    click(tab, "Revoke")

    assert not ApiKey.objects.get(user=people[who]).is_active


def test_shut_a_user_key_out(visit, acme, people):
    api_key = make_key("csu", user=people["editor"])[0]
    tab = visit("manager", "user-keys/")
    click(tab, "Shut out", exact=False)
    api_key.refresh_from_db()
    assert api_key.is_shut_out_of(acme)
    click(tab, "Let in", exact=False)
    api_key.refresh_from_db()
    assert not api_key.is_shut_out_of(acme)


def test_change_a_role(visit, acme, people):
    make_key(organization=acme, by=people["manager"], created_by=people["manager"], name="Made by the Manager")
    tab = visit("owner", "members/")
    row = tab.get_by_role("row").filter(has_text=people["manager"].username)
    row.get_by_role("combobox").select_option("editor")
    follow(tab, row.get_by_role("button", name="Save"))

    assert tab.get_by_role("status").filter(has_text="Editor").first.is_visible()
    # What the demoted person may have a copy of.
    assert is_shown(tab, "Made by the Manager")
    assert acme.memberships.get(user=people["manager"]).role == "editor"


def test_remove_a_member_and_a_key(visit, acme, people):
    kept, revoked = (
        make_key(organization=acme, by=people["manager"], created_by=people["manager"], name=name)[0]
        for name in ("Kept", "Revoked")
    )
    tab = visit("owner", "members/")
    follow(tab, tab.get_by_role("row").filter(has_text=people["manager"].username).get_by_role("link", name="Remove"))
    assert is_shown(tab, "Kept")
    tab.get_by_label(re.compile("^Revoked")).check()
    follow(tab, tab.locator("main form").get_by_role("button", name=re.compile("^Remove")))

    assert tab.get_by_role("status").filter(has_text=re.compile(r"\w")).first.is_visible()
    assert not acme.memberships.filter(user=people["manager"]).exists()
    assert acme.memberships.count() == 3
    kept.refresh_from_db()
    revoked.refresh_from_db()
    assert (kept.is_active, revoked.is_active) == (True, False)


def test_an_editor_sees_members_without_controls(visit, acme):
    tab = visit("editor", "members/")

    assert tab.get_by_role("combobox").count() == (tab.get_by_role("search").get_by_role("combobox").count())
    assert tab.get_by_role("link", name="API keys").count() == 0
    assert [link.inner_text() for link in tab.get_by_role("link", name="Remove").all()] == []


def test_invite_and_join(visit, acme, people, quiet_site, script):
    guest = UserFactory.create()
    guest.set_password(PASSWORD)
    guest.save()
    tab = visit("manager", "invitations/")
    tab.get_by_label("E-mail addresses").fill(f"{guest.email}\n{people['editor'].email}")
    click(tab, "Send the invitations")
    assert is_shown(tab, "Already a member")
    assert tab.get_by_label(f"Link for {guest.email}").input_value() in mail.outbox[0].body
    assert [message.to for message in mail.outbox] == [[guest.email]]
    (link,) = re.findall(r"http://localhost\S+/join/\w+/", str(mail.outbox[0].body))

    joining = quiet_site.open(script=script)
    joining.goto(link)
    # The token leaves the address at once, and the page names nobody.
    assert link.rpartition("/join/")[2] not in joining.url
    assert "Acme Foods" not in joining.content()
    follow(joining, joining.get_by_role("link", name="Sign in"))
    joining.get_by_label("Username").fill(guest.username)
    joining.get_by_label("Password").fill(PASSWORD)
    joining.get_by_label("Password").press("Enter")
    follow(joining, joining.get_by_role("button", name="Join Acme Foods"))

    assert joining.get_by_role("status").filter(has_text="Acme Foods").first.is_visible()
    assert acme.memberships.get(user=guest).role == "editor"


def test_another_account_cannot_join(visit, acme, people, quiet_site, script):
    token = make_invitation(acme, "guest@example.org", by=people["owner"])[1]
    stranger = UserFactory.create()
    tab = visit(stranger, path=f"/settings/join/{token}/")

    assert is_shown(tab, "This invitation is for")
    assert "guest@example.org" not in tab.content()
    assert tab.get_by_role("button", name="Join").count() == 0
    click(tab, "Sign out and use another account")
    assert not acme.memberships.filter(user=stranger).exists()


def test_decline_an_invitation(visit, acme, people):
    guest = UserFactory.create()
    invitation, token = make_invitation(acme, guest.email, by=people["owner"])
    tab = visit(guest, path=f"/settings/join/{token}/")
    click(tab, "Decline")

    assert tab.get_by_role("status").filter(has_text="declined").first.is_visible()
    assert not acme.memberships.filter(user=guest).exists()
    assert Invitation.objects.get(pk=invitation.pk).state == "declined"


def test_resend_and_withdraw_an_invitation(visit, acme, people):
    invitation = make_invitation(acme, f"guest@{acme.slug}.example", by=people["owner"])[0]
    tab = visit("owner", "invitations/")
    click(tab, "Resend", exact=False)
    assert [message.to for message in mail.outbox] == [[invitation.email]]
    tab.goto(f"/settings/o/{acme.slug}/invitations/")
    click(tab, "Withdraw", role="link", exact=False)
    click(tab, "Withdraw", exact=False)

    invitation.refresh_from_db()
    assert invitation.state == "withdrawn"


def test_filter_the_audit_log_and_download_it(visit, acme, people):
    make_key(organization=acme, by=people["owner"], name="Server")
    acme.memberships.get(user=people["editor"]).change_role("billing", by=people["owner"])
    tab = visit("manager", "audit/")
    assert is_shown(tab, "Server")
    tab.get_by_label("Event").select_option(label="Members")
    click(tab, "Filter")
    assert not tab.locator("main").get_by_text("Server").count()
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Download as CSV").click()
    with open(download.value.path(), newline="") as file:
        rows = list(csv.reader(file))

    entries = AuditEntry.objects.filter(organization_id=acme.pk, event__startswith="member_")
    assert len(rows) == 1 + entries.count()


def test_rename_an_organization(visit, acme):
    tab = visit("owner", "settings/")
    tab.get_by_label("Name", exact=True).fill("Acme & Sons")
    tab.get_by_label("Slug", exact=True).fill("no good slug")
    click(tab, "Save")
    assert tab.get_by_role("alert").is_visible()
    tab.get_by_label("Slug", exact=True).fill(f"{acme.slug}-2")
    click(tab, "Save")

    assert tab.get_by_role("status").filter(has_text=re.compile(r"\w")).first.is_visible()
    assert f"/o/{acme.slug}-2/" in tab.url
    assert Organization.objects.get(pk=acme.pk).name == "Acme & Sons"


@pytest.mark.parametrize("who", ["editor", "billing", "manager"])
def test_leave(visit, acme, people, who):
    tab = visit(who, "settings/")
    click(tab, "Leave…", role="link")
    click(tab, "Leave the organization")

    assert is_shown(tab, "You have left Acme Foods.")
    assert not acme.memberships.filter(user=people[who]).exists()
    assert acme.memberships.count() == 3


def test_the_last_owner_cannot_leave(visit, acme, people):
    tab = visit("owner", "settings/leave/")

    assert is_shown(tab, "The last Owner cannot leave")
    assert tab.get_by_role("button", name="Leave the organization").count() == 0


def test_hand_over_the_ownership(visit, acme, people):
    tab = visit("owner", "settings/")
    click(tab, "Hand over…", role="link")
    tab.get_by_label("New Owner").select_option(str(acme.memberships.get(user=people["manager"]).pk))
    click(tab, "Hand over the ownership")

    assert is_shown(tab, "is an Owner now")
    roles = dict(Membership.objects.filter(organization=acme).values_list("user__username", "role"))
    assert (roles[people["manager"].username], roles[people["owner"].username]) == ("owner", "manager")


def test_delete_an_organization(visit, acme, people):
    make_key(organization=acme)
    tab = visit("owner", "settings/")
    click(tab, "Delete…", role="link")
    tab.get_by_label("To confirm").fill("another")
    tab.get_by_label("Your password").fill("wrong")
    click(tab, "Delete the organization")
    assert tab.get_by_role("alert").is_visible()
    assert Organization.objects.filter(pk=acme.pk).exists()
    tab.get_by_label("To confirm").fill(acme.slug)
    tab.get_by_label("Your password").fill(PASSWORD)
    click(tab, "Delete the organization")

    assert is_shown(tab, "Acme Foods is deleted.")
    assert not Organization.objects.filter(pk=acme.pk).exists()


def test_create_an_organization_and_sign_out(visit):
    somebody = UserFactory.create()
    tab = visit(somebody, path="/settings/")
    click(tab, "Create an organization", role="link")
    tab.get_by_label("Name", exact=True).fill("Brand new")
    click(tab, "Create the organization")
    assert Membership.objects.get(user=somebody).role == "owner"
    click(tab, "Sign out")

    assert "/login/" in tab.url
    tab.goto("/settings/")
    assert "/login/" in tab.url


@pytest.mark.parametrize("script", [True], ids=["script"])
class TestScript:
    """What JavaScript adds."""

    @pytest.fixture
    def secret_page(self, visit):
        tab = visit("owner", "keys/new/")
        tab.get_by_label("Name", exact=True).fill("Server")
        click(tab, "Create key")
        return tab

    def test_the_page_with_the_secret(self, secret_page):
        assert inspect(secret_page) == []

    def test_copy(self, secret_page):
        secret_page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        raw_key = secret_page.get_by_label("API key", exact=True).input_value()
        secret_page.get_by_role("button", name="Copy key").click()
        secret_page.get_by_role("button", name="Copied").wait_for()

        assert secret_page.evaluate("navigator.clipboard.readText()") == raw_key
        assert secret_page.locator("#ca-live").inner_text() == "Copied"

    def test_leaving_without_a_copy_asks_first(self, secret_page):
        asked = []

        def stay(dialog):
            asked.append(dialog.type)
            dialog.dismiss()

        secret_page.on("dialog", stay)
        address = secret_page.url
        secret_page.get_by_role("link", name="Members").click(no_wait_after=True)
        secret_page.wait_for_timeout(300)
        assert (asked, secret_page.url) == (["beforeunload"], address)
        click(secret_page, "I have stored it", role="link")
        assert asked == ["beforeunload"]

    def test_the_menu_closes_with_escape(self, visit):
        tab = visit("owner", "keys/")
        summary = tab.locator("summary", has_text="Acme Foods")
        summary.press("Enter")
        assert tab.get_by_role("link", name="My keys").is_visible()
        tab.keyboard.press("Escape")
        assert not tab.get_by_role("link", name="My keys").is_visible()
        assert summary.evaluate("(element) => element === document.activeElement")


def test_a_question_in_a_dialog_can_be_left(quiet_site, acme, people):
    api_key = make_key(organization=acme, name="Server")[0]
    tab = quiet_site.open(people["manager"])
    tab.goto(f"/settings/o/{acme.slug}/keys/{api_key.pk}/")
    link = tab.get_by_role("link", name="Revoke…")
    for leave in (lambda: tab.keyboard.press("Escape"), lambda: tab.get_by_role("button", name="Close").click()):
        link.click()
        tab.get_by_role("dialog", name="Revoke the key").wait_for()
        assert tab.get_by_role("dialog").locator("h1").count() == 1
        leave()
        tab.get_by_role("dialog").wait_for(state="hidden")
    assert api_key.is_active

    # The question cannot be asked any more, so the page says why.
    acme.suspend()
    with tab.expect_navigation():
        link.click()
    assert "This organization is suspended." in tab.inner_text("main")


def test_a_question_in_the_layout_of_a_project(quiet_site, acme, people, settings, tmp_path):
    """The dialog has the question alone: neither the navigation nor what the layout puts into its own element main."""
    base = tmp_path / "closient_auth" / "dashboard" / "base.html"
    base.parent.mkdir(parents=True)
    base.write_text(SITE)
    (tmp_path / "site.html").write_text(LAYOUT)
    settings.TEMPLATES = [{**tests_settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    api_key = make_key(organization=acme, name="Server")[0]
    tab = quiet_site.open(people["owner"])
    tab.goto(f"/settings/o/{acme.slug}/keys/{api_key.pk}/")
    assert tab.title() == "Server · Acme Foods at Example"
    click(tab, "Revoke…", role="link")
    dialog = tab.get_by_role("dialog", name="Revoke the key")
    assert dialog.get_by_role("navigation").count() == 0
    with tab.expect_navigation():
        dialog.get_by_role("button", name="Revoke").click()

    api_key.refresh_from_db()
    assert not api_key.is_active
