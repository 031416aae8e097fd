from __future__ import annotations

import pytest
from django.core.checks import ERROR, WARNING

from closient_auth.conf import AppSettings
from closient_auth.roles import Role

NAMES = {
    "HEADER",
    "RATE_LIMIT_PER_MINUTE",
    "RATE_LIMIT_PER_DAY",
    "PUBLISHABLE_RATE_LIMIT_PER_MINUTE",
    "RATE_LIMIT_FAIL_OPEN",
    "LAST_USED_INTERVAL",
    "EXTRA_ROLE_PERMISSIONS",
}
COUNTS = {
    "RATE_LIMIT_PER_MINUTE": 300,
    "RATE_LIMIT_PER_DAY": 10_000,
    "PUBLISHABLE_RATE_LIMIT_PER_MINUTE": 100,
    "LAST_USED_INTERVAL": 0,
}


def test_the_tests_settings_are_silent(run):
    assert run() == []


def test_settings_that_use_everything_are_silent(run, settings):
    settings.CLOSIENT_AUTH = {
        "HEADER": "X-Shop-Key",
        "RATE_LIMIT_PER_MINUTE": 0,
        "RATE_LIMIT_PER_DAY": 2_147_483_647,
        "PUBLISHABLE_RATE_LIMIT_PER_MINUTE": 1,
        "RATE_LIMIT_FAIL_OPEN": False,
        "LAST_USED_INTERVAL": 60,
        "EXTRA_ROLE_PERMISSIONS": {
            Role.EDITOR: ["offers.publish"],
            "billing": ("offers.price",),
            "owner": {"offers.price", "offers.publish"},
        },
    }

    assert set(settings.CLOSIENT_AUTH) == NAMES
    assert run() == []


def test_each_setting_has_a_check(run, settings):
    """A setting that this test does not know would have a check that nobody tried."""
    names = {name for name, member in vars(AppSettings).items() if isinstance(member, property) and name.isupper()}
    assert names == NAMES

    settings.CLOSIENT_AUTH = dict.fromkeys(names)
    assert len(run()) == len(names)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("RATE_LIMIT_PER", "Did you mean 'RATE_LIMIT_PER_MINUTE' or 'RATE_LIMIT_PER_DAY'?"),
        ("rate_limit", "Did you mean 'RATE_LIMIT_PER_MINUTE' or 'RATE_LIMIT_PER_DAY' or 'RATE_LIMIT_FAIL_OPEN'?"),
        ("", "Known are: "),
        ("RATE_LIMIT_PER_MIN", "Did you mean 'RATE_LIMIT_PER_MINUTE'?"),
        ("header", "Did you mean 'HEADER'?"),
        ("LAST_USED_INTERVALS", "Did you mean 'LAST_USED_INTERVAL'?"),
        (7, "Known are: EXTRA_ROLE_PERMISSIONS, HEADER, LAST_USED_INTERVAL, "),
        ("user_settings", "Known are: "),
    ],
)
def test_unknown_name(find, settings, name, hint):
    settings.CLOSIENT_AUTH = {name: 1}

    message = find("E001")
    assert (message.level, message.msg) == (ERROR, f"CLOSIENT_AUTH has no setting {name!r}.")
    assert message.hint.startswith(hint)


@pytest.mark.parametrize(("value", "kind"), [([("HEADER", "X-Key")], "list"), ("HEADER", "str"), (None, "NoneType")])
def test_no_dictionary(find, settings, value, kind):
    settings.CLOSIENT_AUTH = value

    assert find("E002").msg == f"CLOSIENT_AUTH is a {kind}, not a dictionary."


@pytest.mark.parametrize(("name", "default"), COUNTS.items())
@pytest.mark.parametrize("value", [-1, True, False, 1.0, "300", None, 2_147_483_648])
def test_bad_count(find, settings, name, default, value):
    settings.CLOSIENT_AUTH = {name: value}

    message = find("E003")
    assert message.msg.startswith(f"CLOSIENT_AUTH['{name}'] is {value!r}, which is not a whole number from 0 to ")
    assert message.hint == f"Leave it out for its default, {default}."


@pytest.mark.parametrize("value", [0, 1, "False", None])
def test_bad_switch(find, settings, value):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_FAIL_OPEN": value}

    assert find("E003").msg == f"CLOSIENT_AUTH['RATE_LIMIT_FAIL_OPEN'] is {value!r}, which is not True or False."


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "X_API_Key",
        "X-API-Key:",
        "X API Key",
        "X-Schlüssel",
        "-X",
        "X-",
        "X--Key",
        "X-API-Key\n",
        b"X-Key",
        None,
        1,
    ],
)
def test_header_that_is_no_name(find, settings, value):
    settings.CLOSIENT_AUTH = {"HEADER": value}

    message = find("E004")
    assert message.msg == f"CLOSIENT_AUTH['HEADER'] is {value!r}, which is no name of a header."
    assert "such as 'X-API-Key'" in message.hint


@pytest.mark.parametrize(
    "value", ["Authorization", "authorization", "Cookie", "Host", "Content-Type", "X-Organization", "X-CSRFToken"]
)
def test_header_that_is_taken(find, settings, value):
    settings.CLOSIENT_AUTH = {"HEADER": value}

    assert find("E004").msg == f"CLOSIENT_AUTH['HEADER'] is {value!r}, which means something else already."


def test_header_that_the_hosts_csrf_token_takes(find, run, settings):
    settings.CLOSIENT_AUTH = {"HEADER": "X-Shop-Key"}
    assert run() == []

    settings.CSRF_HEADER_NAME = "HTTP_X_SHOP_KEY"
    find("E004")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([("editor", ["offers.publish"])], "is [('editor', ['offers.publish'])], which is no mapping"),
        ({"editor": "offers.publish"}, "gives 'editor' 'offers.publish', which is no list of permissions."),
        ({"editor": None}, "gives 'editor' None, which is no list of permissions."),
        ({"editor": [""]}, "gives 'editor' '', which is no permission."),
        ({"editor": [1]}, "gives 'editor' 1, which is no permission."),
        ({"editro": ["offers.publish"]}, "names the role 'editro', which there is not."),
        ({"Owner": ["offers.publish"]}, "names the role 'Owner', which there is not."),
        (
            {"editor": ["offers.publish", "organization.manage_members"]},
            "gives 'editor' 'organization.manage_members', and everything in 'organization.' belongs to this package.",
        ),
    ],
)
def test_bad_extra_role_permissions(find, settings, value, problem):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": value}

    assert find("E005").msg.startswith(f"CLOSIENT_AUTH['EXTRA_ROLE_PERMISSIONS'] {problem}")


def test_unknown_role_gets_the_nearest_one_told(find, settings):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"editro": []}}

    assert find("E005").hint == "Did you mean 'editor'?"


def test_permission_that_the_owner_lacks(find, settings):
    settings.CLOSIENT_AUTH = {
        "EXTRA_ROLE_PERMISSIONS": {
            "owner": ["offers.price"],
            "manager": ["offers.price", "offers.publish"],
            "editor": ["offers.draft"],
        }
    }

    message = find("W015")
    assert (message.level, message.hint) == (WARNING, "Nothing is inherited: name the owner too.")
    assert message.msg.endswith(" leaves the owner without: offers.draft, offers.publish.")


def test_each_mistake_is_told(run, settings):
    settings.CLOSIENT_AUTH = {"HEADER": "", "RATE_LIMIT": 1, "LAST_USED_INTERVAL": -1}

    assert [message.id for message in run()] == ["closient_auth.E004", "closient_auth.E001", "closient_auth.E003"]
