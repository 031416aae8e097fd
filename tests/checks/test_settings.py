from __future__ import annotations

import re

import pytest
from django.core.checks import ERROR, WARNING
from django.test import RequestFactory
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from closient_auth.conf import ACCOUNT_PACKAGES, CONTENT_SECURITY_POLICY, AppSettings
from closient_auth.roles import Role

NAMES = {
    "ACCEPT_BEARER",
    "HEADER",
    "DASHBOARD_SITE_NAME",
    "DASHBOARD_DOCS_URL",
    "DASHBOARD_CONTENT_SECURITY_POLICY",
    "DASHBOARD_CONFIRM_PASSWORD",
    "RATE_LIMIT_PER_MINUTE",
    "RATE_LIMIT_PER_DAY",
    "PUBLISHABLE_RATE_LIMIT_PER_MINUTE",
    "PUBLISHABLE_RATE_LIMIT_PER_CLIENT_PER_MINUTE",
    "RATE_LIMIT_FAIL_OPEN",
    "TRUSTED_PROXIES",
    "LAST_USED_INTERVAL",
    "USAGE_HISTORY",
    "EXTRA_ROLE_PERMISSIONS",
    "SESSION_ONLY_VIEWS",
    "MAX_RATE_LIMIT_PER_MINUTE",
    "MAX_RATE_LIMIT_PER_DAY",
    "MAX_ACTIVE_KEYS",
    "KEY_LIFETIME_DAYS",
    "MAX_KEY_LIFETIME_DAYS",
    "ORGANIZATION_CREATION",
    "INVITATION_URL",
    "VERIFIED_ADDRESSES",
    "MEMBERSHIPS",
    "RATE_LIMIT_POLICY",
}
COUNTS = {
    "RATE_LIMIT_PER_MINUTE": 300,
    "RATE_LIMIT_PER_DAY": 10_000,
    "PUBLISHABLE_RATE_LIMIT_PER_MINUTE": 100,
    "PUBLISHABLE_RATE_LIMIT_PER_CLIENT_PER_MINUTE": 0,
    "TRUSTED_PROXIES": 0,
    "LAST_USED_INTERVAL": 0,
    "MAX_RATE_LIMIT_PER_MINUTE": 0,
    "MAX_RATE_LIMIT_PER_DAY": 0,
    "MAX_ACTIVE_KEYS": 0,
}


def test_the_tests_settings_are_silent(run):
    assert run() == []


def test_settings_that_use_everything_are_silent(run, settings):
    settings.CLOSIENT_AUTH = {
        "HEADER": "X-Shop-Key",
        "DASHBOARD_SITE_NAME": "Ünïcode & Sons",
        "DASHBOARD_DOCS_URL": "/docs/",
        "DASHBOARD_CONTENT_SECURITY_POLICY": "",
        "DASHBOARD_CONFIRM_PASSWORD": True,
        "RATE_LIMIT_PER_MINUTE": 0,
        "RATE_LIMIT_PER_DAY": 2_147_483_647,
        "PUBLISHABLE_RATE_LIMIT_PER_MINUTE": 1,
        "PUBLISHABLE_RATE_LIMIT_PER_CLIENT_PER_MINUTE": 1,
        "RATE_LIMIT_FAIL_OPEN": False,
        "ACCEPT_BEARER": True,
        "TRUSTED_PROXIES": 2,
        "LAST_USED_INTERVAL": 60,
        "USAGE_HISTORY": False,
        "EXTRA_ROLE_PERMISSIONS": {
            Role.EDITOR: ["offers.publish"],
            "billing": ("offers.price",),
            "owner": {"offers.price", "offers.publish"},
        },
        "SESSION_ONLY_VIEWS": [*ACCOUNT_PACKAGES, "tests.accounts"],
        "MAX_RATE_LIMIT_PER_MINUTE": 1000,
        "MAX_RATE_LIMIT_PER_DAY": 100_000,
        "MAX_ACTIVE_KEYS": 50,
        "KEY_LIFETIME_DAYS": 90,
        "MAX_KEY_LIFETIME_DAYS": 36_500,
        "ORGANIZATION_CREATION": "django.contrib.auth.get_user",
        "INVITATION_URL": "https://app.example/join?code={token}",
        "VERIFIED_ADDRESSES": "django.contrib.auth.get_user",
        "MEMBERSHIPS": "tests.memberships.adapters.NamedRoles",
        "RATE_LIMIT_POLICY": "structured",
    }

    assert set(settings.CLOSIENT_AUTH) == NAMES
    assert run() == []


def test_each_setting_has_a_check(run, settings):
    """A new setting needs a check, and this file needs tests of it."""
    names = {name for name, member in vars(AppSettings).items() if isinstance(member, property) and name.isupper()}
    assert names == NAMES

    settings.CLOSIENT_AUTH = dict.fromkeys(names)
    assert len(run()) == len(names)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("RATE_LIMIT_PER", "Did you mean 'RATE_LIMIT_PER_MINUTE' or 'RATE_LIMIT_PER_DAY'?"),
        (
            "rate_limit",
            "Did you mean 'RATE_LIMIT_PER_MINUTE' or 'RATE_LIMIT_PER_DAY' or 'RATE_LIMIT_POLICY' or 'RATE_LIMIT_FAIL_OPEN'?",
        ),
        ("", "Use one of: "),
        ("RATE_LIMIT_PER_MIN", "Did you mean 'RATE_LIMIT_PER_MINUTE'?"),
        ("header", "Did you mean 'HEADER'?"),
        ("LAST_USED_INTERVALS", "Did you mean 'LAST_USED_INTERVAL'?"),
        (
            7,
            "Use one of: ACCEPT_BEARER, DASHBOARD_CONFIRM_PASSWORD, DASHBOARD_CONTENT_SECURITY_POLICY, DASHBOARD_DOCS_URL, ",
        ),
        ("user_settings", "Use one of: "),
    ],
)
def test_unknown_name(find, settings, name, hint):
    settings.CLOSIENT_AUTH = {name: 1}

    message = find("E001")
    assert (message.level, message.msg) == (ERROR, f"CLOSIENT_AUTH[{name!r}] is not a known setting.")
    assert message.hint.startswith(hint)


@pytest.mark.parametrize(("value", "kind"), [([("HEADER", "X-Key")], "list"), ("HEADER", "str"), (None, "NoneType")])
def test_no_dictionary(find, settings, value, kind):
    settings.CLOSIENT_AUTH = value

    assert find("E002").msg == f"CLOSIENT_AUTH should be a dictionary, not a {kind}."


@pytest.mark.parametrize(("name", "default"), COUNTS.items())
@pytest.mark.parametrize("value", [-1, True, False, 1.0, "300", None, 2_147_483_648])
def test_bad_count(find, settings, name, default, value):
    settings.CLOSIENT_AUTH = {name: value}

    message = find("E003")
    assert message.msg == f"CLOSIENT_AUTH['{name}'] should be an integer from 0 to 2147483647, not {value!r}."
    assert message.hint == f"Remove it to use the default, {default}."


@pytest.mark.parametrize("name", ["KEY_LIFETIME_DAYS", "MAX_KEY_LIFETIME_DAYS"])
@pytest.mark.parametrize("value", [-1, True, 1.0, "90", None, 36_501])
def test_bad_number_of_days(find, settings, name, value):
    settings.CLOSIENT_AUTH = {name: value}

    assert find("E003").msg == f"CLOSIENT_AUTH['{name}'] should be an integer from 0 to 36500, not {value!r}."


def test_default_lifetime_above_the_maximum(find, run, settings):
    settings.CLOSIENT_AUTH = {"KEY_LIFETIME_DAYS": 91, "MAX_KEY_LIFETIME_DAYS": 90}
    assert "at most MAX_KEY_LIFETIME_DAYS (90), not 91" in find("W027").msg
    for days, maximum in ((90, 90), (91, 0), (0, 90)):
        settings.CLOSIENT_AUTH = {"KEY_LIFETIME_DAYS": days, "MAX_KEY_LIFETIME_DAYS": maximum}
        assert run() == []


@pytest.mark.parametrize("value", ["Classic", "", None, 1, ["classic"]])
def test_bad_policy(find, settings, value):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_POLICY": value}

    assert f"should be 'classic' or 'structured', not {value!r}" in find("E003").msg


@pytest.mark.parametrize("value", ["nobody", "", None, "django.missing", "missing.module", "django.VERSION", len])
def test_bad_creators_of_organizations(find, settings, value):
    settings.CLOSIENT_AUTH = {"ORGANIZATION_CREATION": value}

    assert (
        f"should be 'anyone', 'staff' or the dotted path of an importable function, not {value!r}" in find("E003").msg
    )


@pytest.mark.parametrize("value", ["anyone", "staff", "django.contrib.auth.get_user"])
def test_good_creators_of_organizations(run, settings, value):
    settings.CLOSIENT_AUTH = {"ORGANIZATION_CREATION": value}

    assert run() == []


@pytest.mark.parametrize("name", ["DASHBOARD_SITE_NAME", "DASHBOARD_DOCS_URL", "DASHBOARD_CONTENT_SECURITY_POLICY"])
@pytest.mark.parametrize("value", [None, False, b"text", "two\nlines", "a\rb", "tab\t"])
def test_bad_text(find, settings, name, value):
    settings.CLOSIENT_AUTH = {name: value}

    assert f"CLOSIENT_AUTH[{name!r}] should be a text in one line" in find("E003").msg


@pytest.mark.parametrize(
    "value",
    [
        'default-src "self"',
        "default-src self",
        "default-src 'self'; img-src https://cdn.example SELF",
        "object-src none;",
        "script-src 'self' unsafe-inline",
        "script-src unsafe-eval",
        "script-src 'nonce-abc' strict-dynamic",
    ],
)
def test_bad_quotes_in_a_policy(find, settings, value):
    """Browsers would refuse all files of the pages."""
    settings.CLOSIENT_AUTH = {"DASHBOARD_CONTENT_SECURITY_POLICY": value}

    assert "should be a policy with its keywords in single quotes, such as 'self' and 'none'" in find("E003").msg


@pytest.mark.parametrize(
    "value",
    [
        "",
        CONTENT_SECURITY_POLICY,
        "default-src 'self' https://self.example none.example 'unsafe-inline'; upgrade-insecure-requests",
        "sandbox allow-forms; report-uri /self",
    ],
)
def test_good_policy(run, settings, value):
    settings.CLOSIENT_AUTH = {"DASHBOARD_CONTENT_SECURITY_POLICY": value}

    assert run() == []


@pytest.mark.parametrize(
    "name", ["DASHBOARD_CONFIRM_PASSWORD", "RATE_LIMIT_FAIL_OPEN", "ACCEPT_BEARER", "USAGE_HISTORY"]
)
@pytest.mark.parametrize("value", [0, 1, "False", None])
def test_bad_switch(find, settings, name, value):
    settings.CLOSIENT_AUTH = {name: value}

    assert find("E003").msg == f"CLOSIENT_AUTH[{name!r}] should be True or False, not {value!r}."


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
    assert message.msg == f"CLOSIENT_AUTH['HEADER'] should be a valid header name, not {value!r}."
    assert "such as 'X-API-Key'" in message.hint


@pytest.mark.parametrize(
    "value", ["Authorization", "authorization", "Cookie", "Host", "Content-Type", "X-Organization", "X-CSRFToken"]
)
def test_header_that_is_taken(find, settings, value):
    settings.CLOSIENT_AUTH = {"HEADER": value}

    assert find("E004").msg == f"CLOSIENT_AUTH['HEADER'] should be a header without another meaning, not {value!r}."


def test_header_that_the_hosts_csrf_token_takes(find, run, settings):
    settings.CLOSIENT_AUTH = {"HEADER": "X-Shop-Key"}
    assert run() == []

    settings.CSRF_HEADER_NAME = "HTTP_X_SHOP_KEY"
    find("E004")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (
            [("editor", ["offers.publish"])],
            " should be a mapping from role to permissions, not [('editor', ['offers.publish'])].",
        ),
        ({"editor": "offers.publish"}, "['editor'] should be a list of permissions, not 'offers.publish'."),
        ({"editor": None}, "['editor'] should be a list of permissions, not None."),
        ({"editor": [""]}, "['editor'] should contain only permissions, not ''."),
        ({"editor": [1]}, "['editor'] should contain only permissions, not 1."),
        ({"editro": ["offers.publish"]}, " should have only roles as keys, not 'editro'."),
        ({"Owner": ["offers.publish"]}, " should have only roles as keys, not 'Owner'."),
        (
            {"editor": ["offers.publish", "organization.manage_members"]},
            "['editor'] should contain only your own permissions, not 'organization.manage_members'.",
        ),
    ],
)
def test_bad_extra_role_permissions(find, settings, value, problem):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": value}

    assert find("E005").msg == f"CLOSIENT_AUTH['EXTRA_ROLE_PERMISSIONS']{problem}"


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
    assert (message.level, message.hint) == (WARNING, "Roles do not inherit permissions. Add these to 'owner' too.")
    assert message.msg.endswith(" should also give the owner: offers.draft, offers.publish.")


def test_each_mistake_is_told(run, settings):
    settings.CLOSIENT_AUTH = {"HEADER": "", "RATE_LIMIT": 1, "LAST_USED_INTERVAL": -1}

    assert [message.id for message in run()] == ["closient_auth.E004", "closient_auth.E001", "closient_auth.E003"]


@pytest.mark.parametrize("value", ["dj_rest_auth", "", 7, {"knox": 1}, [7], ["knox.", "djoser"], [""], ["a b"]])
def test_modules_that_cannot_be(find, settings, value):
    settings.CLOSIENT_AUTH = {"SESSION_ONLY_VIEWS": value}

    message = find("E003")
    assert message.msg == f"CLOSIENT_AUTH['SESSION_ONLY_VIEWS'] should be a list of modules, not {value!r}."
    assert "ACCOUNT_PACKAGES" in message.hint


@pytest.mark.parametrize("value", [[], ["dj_rest_auth"], ("tests.views", "knox")])
def test_modules(run, settings, value):
    settings.CLOSIENT_AUTH = {"SESSION_ONLY_VIEWS": value}

    assert run() == []


class HostFilter(SafeExceptionReporterFilter):
    hidden_settings = re.compile("ACME")


class BlindFilter(SafeExceptionReporterFilter):
    hidden_settings = re.compile("NOTHING")


class BrokenFilter:
    pass


@pytest.mark.parametrize(
    ("header", "name", "is_shown"),
    [
        ("X-API-Key", None, False),
        ("X-Acme-Key", None, False),
        ("X-Token", None, False),
        ("X-Acme-Client", None, True),
        ("Client", None, True),
        ("X-Acme-Client", "HostFilter", False),
        ("X-API-Key", "HostFilter", True),
        ("X-API-Key", "BlindFilter", True),
        ("X-Acme-Client", "BrokenFilter", False),
        ("X-Acme-Client", "NoFilter", False),
    ],
)
def test_header_in_error_reports(run, settings, header, name, is_shown):
    settings.CLOSIENT_AUTH = {"HEADER": header}
    if name:
        settings.DEFAULT_EXCEPTION_REPORTER_FILTER = f"{__name__}.{name}"

    messages = run()

    assert [(message.id, message.level) for message in messages] == [("closient_auth.W022", WARNING)] * is_shown
    for message in messages:
        assert message.msg.endswith(f"hides in error reports, not {header!r}.")
        assert "X-API-Key" in message.hint


@pytest.mark.parametrize("header", ["X-API-Key", "X-Acme-Client"])
def test_error_report_shows_what_the_check_says(run, settings, header):
    """The check agrees with Django's own report."""
    settings.CLOSIENT_AUTH = {"HEADER": header}
    request = RequestFactory().get("/", headers={header: "csb_secret"})

    report = ExceptionReporter(request, ZeroDivisionError, ZeroDivisionError(), None).get_traceback_text()

    assert ("csb_secret" in report) == bool(run())


@pytest.mark.parametrize("name", ["nowhere", "tests.nowhere", "nowhere.views", "tests.models.nowhere"])
def test_account_module_that_does_not_exist(find, settings, name):
    settings.CLOSIENT_AUTH = {"SESSION_ONLY_VIEWS": [*ACCOUNT_PACKAGES, "tests.views", name]}

    message = find("W025")
    assert (message.level, message.msg) == (
        WARNING,
        f"CLOSIENT_AUTH['SESSION_ONLY_VIEWS'] names {name!r}, which is not a module.",
    )


@pytest.mark.parametrize(
    "value",
    [
        "",
        "https://app.example/join/{token}",
        "https://app.example:8443/join?code={token}&x=1",
        "https://app.example/#/join/{token}",
        "http://localhost:3000/join/{token}",
        "http://127.0.0.1/{token}",
        "http://[::1]:8000/{token}",
    ],
)
def test_good_page_of_invitations(run, settings, value):
    settings.CLOSIENT_AUTH = {"INVITATION_URL": value}

    assert run() == []


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "https://app.example/join",
        "https://app.example/{token}/{token}",
        "https://app.example/{token}/{organization}",
        "https://app.example/{{token}}",
        "https://app.example/join {token}",
        "https://{token}.app.example/",
        "https:///join/{token}",
        "https://[/{token}",
        "javascript://localhost/{token}",
        "/join/{token}",
        "app.example/{token}",
    ],
)
def test_bad_page_of_invitations(find, settings, value):
    settings.CLOSIENT_AUTH = {"INVITATION_URL": value}

    message = find("E003")
    wanted = "an https URL with {token} in its path, query or fragment"
    assert message.msg == f"CLOSIENT_AUTH['INVITATION_URL'] should be {wanted}, not {value!r}."
    assert message.hint == "Remove it to use the default, ''."


@pytest.mark.parametrize("value", ["http://dev.example/join/{token}", "http://localhost.example/{token}"])
@pytest.mark.parametrize("debug", [True, False])
def test_page_of_invitations_without_tls(run, settings, value, debug):
    settings.CLOSIENT_AUTH, settings.DEBUG = {"INVITATION_URL": value}, debug

    assert ("closient_auth.E003" in {message.id for message in run()}) is not debug


@pytest.mark.parametrize("value", [None, "anyone", "missing.module", "django.missing", "django.VERSION", len])
def test_bad_function_for_verified_addresses(find, settings, value):
    settings.CLOSIENT_AUTH = {"VERIFIED_ADDRESSES": value}

    assert f"should be the dotted path of an importable function, not {value!r}" in find("E003").msg
