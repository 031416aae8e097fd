from __future__ import annotations

import pytest

from closient_auth.conf import ACCOUNT_PACKAGES, CONTENT_SECURITY_POLICY, AppSettings, conf

DEFAULTS = {
    "HEADER": "X-API-Key",
    "DASHBOARD_SITE_NAME": "",
    "DASHBOARD_DOCS_URL": "",
    "DASHBOARD_CONTENT_SECURITY_POLICY": CONTENT_SECURITY_POLICY,
    "DASHBOARD_CONFIRM_PASSWORD": False,
    "RATE_LIMIT_PER_MINUTE": 300,
    "RATE_LIMIT_PER_DAY": 10_000,
    "PUBLISHABLE_RATE_LIMIT_PER_MINUTE": 100,
    "PUBLISHABLE_RATE_LIMIT_PER_CLIENT_PER_MINUTE": 0,
    "RATE_LIMIT_FAIL_OPEN": True,
    "TRUSTED_PROXIES": 0,
    "USAGE_HISTORY": True,
    "LAST_USED_INTERVAL": 0,
    "ACCEPT_BEARER": False,
    "EXTRA_ROLE_PERMISSIONS": {},
    "SESSION_ONLY_VIEWS": ACCOUNT_PACKAGES,
    "MAX_RATE_LIMIT_PER_MINUTE": 0,
    "MAX_RATE_LIMIT_PER_DAY": 0,
    "RATE_LIMIT_POLICY": "classic",
    "MAX_ACTIVE_KEYS": 0,
    "KEY_LIFETIME_DAYS": 0,
    "MAX_KEY_LIFETIME_DAYS": 0,
    "ORGANIZATION_CREATION": "anyone",
    "INVITATION_URL": "",
    "VERIFIED_ADDRESSES": "",
    "MEMBERSHIPS": "closient_auth.models.memberships.RoleMemberships",
}
OTHERS = {
    "HEADER": "X-Key",
    "DASHBOARD_SITE_NAME": "Example",
    "DASHBOARD_DOCS_URL": "https://docs.example/",
    "DASHBOARD_CONTENT_SECURITY_POLICY": "",
    "DASHBOARD_CONFIRM_PASSWORD": True,
    "RATE_LIMIT_PER_MINUTE": 0,
    "RATE_LIMIT_PER_DAY": 1,
    "PUBLISHABLE_RATE_LIMIT_PER_MINUTE": 2,
    "PUBLISHABLE_RATE_LIMIT_PER_CLIENT_PER_MINUTE": 3,
    "RATE_LIMIT_FAIL_OPEN": False,
    "TRUSTED_PROXIES": 1,
    "USAGE_HISTORY": False,
    "LAST_USED_INTERVAL": 60,
    "ACCEPT_BEARER": True,
    "EXTRA_ROLE_PERMISSIONS": {"editor": ["offers.publish"]},
    "SESSION_ONLY_VIEWS": ["accounts.views"],
    "MAX_RATE_LIMIT_PER_MINUTE": 4,
    "MAX_RATE_LIMIT_PER_DAY": 5,
    "RATE_LIMIT_POLICY": "structured",
    "MAX_ACTIVE_KEYS": 6,
    "KEY_LIFETIME_DAYS": 7,
    "MAX_KEY_LIFETIME_DAYS": 8,
    "ORGANIZATION_CREATION": "staff",
    "INVITATION_URL": "https://app.example/join/{token}",
    "VERIFIED_ADDRESSES": "accounts.get_addresses",
    "MEMBERSHIPS": "tests.memberships.adapters.TeamMemberships",
}


def read_all():
    return {name: getattr(conf, name) for name in vars(AppSettings) if name.isupper()}


def test_defaults_without_the_setting(settings):
    del settings.CLOSIENT_AUTH
    assert read_all() == DEFAULTS


def test_defaults_for_what_is_not_said(settings):
    settings.CLOSIENT_AUTH = {}
    assert read_all() == DEFAULTS


@pytest.mark.parametrize("name", OTHERS)
def test_each_setting_is_read_late(settings, name):
    settings.CLOSIENT_AUTH = {name: OTHERS[name]}
    assert read_all() == {**DEFAULTS, name: OTHERS[name]}

    settings.CLOSIENT_AUTH = {}
    assert read_all() == DEFAULTS
