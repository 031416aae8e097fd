from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.contrib.messages import get_messages
from django.urls import path
from django.utils import timezone

from closient_auth.actors import Actor, acting
from closient_auth.admin import ApiKeyAdmin, AuditEntryAdmin, LiveKeysMixin, OrganizationAdmin
from closient_auth.models import ApiKey, AuditEntry, Organization
from tests.admin.members import OWNER_NEEDED, join, model_page, roles
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key

User = get_user_model()


class WatchfulUserAdmin(LiveKeysMixin, UserAdmin):  # type: ignore[type-arg]
    list_display = ["username", "is_active"]
    list_editable = ["is_active"]


@pytest.fixture
def watchful(mount):
    """Mount an admin site with the mixin in its user admin."""
    site = admin.AdminSite()
    site.register(User, WatchfulUserAdmin)
    site.register(Organization, OrganizationAdmin)
    site.register(ApiKey, ApiKeyAdmin)
    site.register(AuditEntry, AuditEntryAdmin)
    mount(path("admin/", site.urls))


def warnings(response):
    return [str(message) for message in get_messages(response.wsgi_request) if message.level_tag == "warning"]


def listed(client, warning):
    """Follow the link of a warning, and return the names of the keys in the list."""
    (link,) = re.findall(r'<a href="([^"]+)">Review all of them</a>', warning)
    response = client.get(link.replace("&amp;", "&"))
    assert response.status_code == HTTPStatus.OK
    return sorted(api_key.name for api_key in response.context["cl"].result_list)


@pytest.fixture
def ken(organization):
    join(organization, "owner", username="ada")
    return join(organization, "manager", username="ken")


@pytest.mark.parametrize("role", ["editor", "billing", None])
def test_demotion_and_removal_name_live_keys(root, send, organization, ken, role):
    server, _ = make_key(organization=organization, name="Server <1>", created_by=ken.user)
    widget, _ = make_key("cpk", organization=organization, name="Widget", created_by=ken.user)
    ApiKey.objects.filter(pk=server.pk).update(last_used=datetime(2026, 3, 9, 12, tzinfo=UTC))
    make_key(organization=organization, name="Of another", created_by=UserFactory.create())
    make_key(name="Elsewhere", created_by=ken.user)
    make_key(organization=organization, name="Revoked", created_by=ken.user)[0].revoke()
    make_key(
        organization=organization, name="Expired", created_by=ken.user, expires_at=timezone.now() - timedelta(days=1)
    )

    response = send(root, {ken: role})

    assert roles(organization).get("ken") == role
    (warning,) = warnings(response)
    assert warning.startswith("ken made 2 active API keys, and may have copies of them.")
    assert f"{server.prefix}_{server.hint}… Server &lt;1&gt; (last used: March 9, 2026" in warning
    assert f"{widget.prefix}_{widget.hint}… Widget (last used: never)" in warning
    assert listed(root, warning) == ["Server <1>", "Widget"]
    assert ApiKey.objects.filter(is_active=True).count() == 5


@pytest.mark.parametrize(("old", "new"), [("editor", "manager"), ("editor", "editor"), ("billing", "manager")])
def test_no_warning_if_nothing_is_lost(root, send, organization, old, new):
    join(organization, "owner")
    member = join(organization, old)
    make_key(organization=organization, created_by=member.user)

    assert warnings(send(root, {member: new}, [(UserFactory.create(), "editor")])) == []


def test_no_warning_without_keys_and_none_if_the_change_is_refused(root, send, organization, ken):
    assert warnings(send(root, {ken: "editor"})) == []
    owner = organization.memberships.get(role="owner")
    make_key(organization=organization, created_by=owner.user)

    response = send(root, {owner: "editor"})

    assert OWNER_NEEDED in response.content.decode()
    assert warnings(response) == []


def test_each_person_has_a_warning(root, send, organization, ken):
    mia = join(organization, "manager", username="mia")
    for member in (ken, mia):
        make_key(organization=organization, created_by=member.user, name=member.user.username)

    response = send(root, {ken: "editor", mia: None})

    assert sorted(listed(root, warning) for warning in warnings(response)) == [["ken"], ["mia"]]


def test_warning_names_ten_keys_and_leads_to_all(root, send, organization, ken):
    for _ in range(12):
        make_key(organization=organization, created_by=ken.user, name="Server")

    (warning,) = warnings(send(root, {ken: None}))

    assert warning.startswith("ken made 12 active API keys")
    assert warning.count("Server") == 10
    assert len(listed(root, warning)) == 12


def test_staff_who_may_not_view_keys_learn_their_number(make_staff, send, organization, ken):
    make_key(organization=organization, created_by=ken.user, name="Server")
    client = make_staff("change_organization", "change_membership", "view_membership")

    (warning,) = warnings(send(client, {ken: "editor"}))

    assert warning == "ken made 1 active API key, and may have a copy of it."


@pytest.mark.parametrize("permission", ["view_apikey", "change_apikey"])
def test_staff_who_may_view_keys_learn_which(make_staff, send, organization, ken, permission):
    make_key(organization=organization, created_by=ken.user, name="Server")
    client = make_staff("change_organization", "change_membership", "view_membership", permission)

    (warning,) = warnings(send(client, {ken: "editor"}))

    assert listed(client, warning) == ["Server"]


def test_site_without_the_pages_of_keys(root, mount, send, organization, ken):
    site = admin.AdminSite()
    site.register(Organization, OrganizationAdmin)
    mount(path("admin/", site.urls))
    make_key(organization=organization, created_by=ken.user, name="Server")

    (warning,) = warnings(send(root, {ken: "editor"}))

    assert "Server" in warning
    assert "href" not in warning


def save_user(client, user, **values):
    form = client.get(model_page(user, "change", user.pk)).context["adminform"].form
    data = {"username": user.username, "is_active": "on" if user.is_active else ""}
    for name in ("date_joined", "last_login"):
        if moment := form.initial[name]:
            local = timezone.localtime(moment)
            data |= {f"{name}_0": f"{local:%Y-%m-%d}", f"{name}_1": f"{local:%H:%M:%S}"}
    return client.post(model_page(user, "change", user.pk), {**data, **values})


@pytest.mark.usefixtures("watchful")
def test_deactivation_names_live_keys(root):
    user = UserFactory.create(username="ken")
    make_key(name="Server", created_by=user)
    make_key("csu", name="For another", created_by=user)
    make_key("csu", name="Own", user=user, created_by=user)
    make_key(name="Of another", created_by=UserFactory.create())

    assert warnings(save_user(root, user, first_name="Ken")) == []
    response = save_user(root, user, is_active="")

    assert response.status_code == HTTPStatus.FOUND
    (warning,) = warnings(response)
    assert warning.startswith("ken made 2 active API keys")
    assert listed(root, warning) == ["For another", "Server"]
    user.refresh_from_db()
    assert not user.is_active
    assert warnings(save_user(root, user, first_name="K.")) == []


TRAIL = re.compile(r'<li><a href="([^"]+)">Audit entries</a></li>')


@pytest.mark.usefixtures("watchful")
def test_page_of_a_user_leads_to_what_the_user_did(root, organization):
    ken, ben = UserFactory.create(username="ken"), UserFactory.create(username="ben")
    for user in (ken, ben):
        with acting(Actor(user)):
            make_key(organization=organization, name=f"Of {user}")

    content = root.get(model_page(ken, "change", ken.pk)).content.decode()

    (address,) = TRAIL.findall(content)
    (entry,) = root.get(address).context["cl"].result_list
    assert entry.target.endswith("Of ken")
    # Django's log has what staff did to the user.
    assert f'<a href="{model_page(ken, "history", ken.pk)}" class="historylink">History</a>' in content


@pytest.mark.usefixtures("watchful")
def test_page_of_a_user_has_no_link_that_its_reader_may_not_follow(make_staff):
    ken = UserFactory.create(username="ken")
    address = model_page(ken, "change", ken.pk)

    assert TRAIL.search(make_staff("view_user", "view_auditentry").get(address).content.decode())
    content = make_staff("view_user").get(address).content.decode()
    assert "ken" in content
    assert not TRAIL.search(content)


@pytest.mark.usefixtures("watchful")
def test_page_of_a_new_user_has_no_trail(root):
    content = root.get(model_page(User(), "add")).content.decode()

    assert 'name="username"' in content
    assert not TRAIL.search(content)


@pytest.mark.usefixtures("watchful")
def test_page_of_a_user_keeps_the_template_of_the_project(root, settings, tmp_path):
    ken = UserFactory.create(username="ken")
    template = tmp_path / "admin" / "change_form.html"
    template.parent.mkdir()
    template.write_text(
        "{% extends 'admin/base_site.html' %}{% block content %}Our page"
        "{% block object-tools-items %}<li>Ours</li>{% endblock %}{% endblock %}"
    )
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]

    content = root.get(model_page(ken, "change", ken.pk)).content.decode()

    assert "Our page" in content
    assert len(TRAIL.findall(content)) == content.count("<li>Ours</li>") == 1


@pytest.mark.usefixtures("watchful")
def test_no_warning_about_an_activation(root):
    user = UserFactory.create(is_active=False)
    make_key(created_by=user)

    assert warnings(save_user(root, user, is_active="on")) == []
    assert User.objects.get(pk=user.pk).is_active


@pytest.mark.usefixtures("watchful")
def test_deactivation_in_the_list_names_live_keys(root):
    user = UserFactory.create(username="ken")
    make_key(name="Server", created_by=user)
    shown = list(root.get(model_page(user, "changelist")).context["cl"].result_list)
    data = {"form-TOTAL_FORMS": len(shown), "form-INITIAL_FORMS": len(shown), "_save": "Save"}
    for index, row in enumerate(shown):
        data |= {f"form-{index}-id": row.pk} | ({f"form-{index}-is_active": "on"} if row != user else {})

    (warning,) = warnings(root.post(model_page(user, "changelist"), data))

    assert listed(root, warning) == ["Server"]


@pytest.mark.usefixtures("watchful")
def test_new_user_has_made_nothing(root):
    made = {"username": "new", "password1": "Wq7-plum-kettle", "password2": "Wq7-plum-kettle"}

    response = root.post(model_page(User(), "add"), {**made, "usable_password": "true"})

    assert response.status_code == HTTPStatus.FOUND
    assert warnings(response) == []


def delete(client, how, *users):
    if how == "page":
        (user,) = users
        return client.post(model_page(user, "delete", user.pk), {"post": "yes"})
    data = {"action": "delete_selected", "_selected_action": [str(user.pk) for user in users], "post": "yes"}
    return client.post(model_page(users[0], "changelist"), data)


@pytest.mark.usefixtures("watchful")
@pytest.mark.parametrize("how", ["page", "action"])
def test_deletion_names_live_keys(root, how):
    user, other = UserFactory.create(username="ken"), UserFactory.create(username="ben")
    make_key(name="Server", created_by=user)
    make_key(name="Revoked", created_by=user)[0].revoke()
    make_key("csu", name="Own", user=user, created_by=user)
    make_key(name="Of another", created_by=other)

    response = delete(root, how, user)

    assert response.status_code == HTTPStatus.FOUND
    assert not User.objects.filter(pk=user.pk).exists()
    (warning,) = warnings(response)
    assert warning.startswith("ken made 1 active API key, and may have a copy of it.")
    assert listed(root, warning) == ["Server"]
    assert ApiKey.objects.get(name="Server").created_by is None


@pytest.mark.usefixtures("watchful")
def test_deletion_of_many_users_names_the_keys_of_each(root):
    users = UserFactory.create_batch(3)
    make_key(name="First", created_by=users[0])
    make_key(name="Second", created_by=users[1])
    make_key("csu", name="Goes too", user=users[2], created_by=users[1])

    response = delete(root, "action", *users)

    assert sorted(listed(root, warning) for warning in warnings(response)) == [["First"], ["Second"]]
    assert set(ApiKey.objects.values_list("name", flat=True)) == {"First", "Second"}


@pytest.mark.usefixtures("watchful")
@pytest.mark.parametrize("how", ["page", "action"])
def test_deletion_that_is_refused_warns_of_nothing(root, organization, how):
    owner = join(organization, "owner", username="ada")
    make_key(organization=organization, created_by=owner.user)

    response = delete(root, how, owner.user)

    assert "protected related objects" in response.content.decode()
    assert warnings(response) == []
    assert ApiKey.objects.get().created_by == owner.user


def test_filter_by_creator(root, page):
    ada, ben = (UserFactory.create(username=name) for name in ("ada", "ben"))
    make_key(name="ada's", created_by=ada)
    make_key("csu", name="ada's user key", created_by=ada)
    make_key(name="ben's", created_by=ben)
    make_key(name="nobody's")

    def names(text, **query):
        response = root.get(page("apikey_changelist"), {"created_by": text, **query})
        assert response.status_code == HTTPStatus.OK
        return {api_key.name for api_key in response.context["cl"].result_list}

    assert names("ada") == names(str(ada.pk)) == names(" ada ") == {"ada's", "ada's user key"}
    assert names("ben") == {"ben's"}
    assert names("") == {"ada's", "ada's user key", "ben's", "nobody's"}
    assert names("a") == names("\x00ada") == names("9" * 40) == names("-1") == names("None") == set()
    assert names("ada", prefix__exact="csu") == {"ada's user key"}
    content = root.get(page("apikey_changelist"), {"created_by": "<b>", "q": "x"}).content.decode()
    form = content[content.index("By creator") :].partition("</details>")[0]
    assert 'value="&lt;b&gt;"' in form
    assert '<input type="hidden" name="q" value="x">' in form


def test_filter_by_lifetime(root, page, settings):
    make_key(name="forever")
    make_key(name="long", expires_at=timezone.now() + timedelta(days=400))
    make_key(name="short", expires_at=timezone.now() + timedelta(days=20))

    def names(**query):
        response = root.get(page("apikey_changelist"), query)
        assert ("Beyond the policy" in response.content.decode()) == bool(settings.CLOSIENT_AUTH)
        return {api_key.name for api_key in response.context["cl"].result_list}

    settings.CLOSIENT_AUTH = {}
    assert names() == names(lifetime="beyond") == {"forever", "long", "short"}
    settings.CLOSIENT_AUTH = {"MAX_KEY_LIFETIME_DAYS": 30}
    assert names() == names(lifetime="x") == {"forever", "long", "short"}
    assert names(lifetime="beyond") == {"forever", "long"}


def test_members_of_another_organization_are_not_named(root, send, organization, ken):
    other = OrganizationFactory.create()
    MembershipFactory.create(organization=other, user=ken.user, role="owner")
    make_key(organization=other, created_by=ken.user)

    assert warnings(send(root, {ken: None})) == []
