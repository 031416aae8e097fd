"""The errors of the package, and those that a project derives from them."""

from __future__ import annotations

from typing import Any

import pytest

from closient_auth import exceptions
from closient_auth.core.refusals import REFUSALS

# Code: status.
TABLE = {
    "invalid_api_key": 401,
    "publishable_key_refused": 403,
    "organization_required": 400,
    "limits_unavailable": 503,
    "session_required": 403,
    "api_key_required": 403,
    "conflict": 409,
    "not_authenticated": 401,
    "permission_denied": 403,
    "person_required": 403,
    "throttled": 429,
    "network_not_allowed": 403,
    "origin_not_allowed": 403,
    "organization_suspended": 403,
    "user_key_not_allowed": 403,
}
CLASSES = [cls for cls in exceptions.CodedException.__subclasses__() if cls.__module__ == exceptions.__name__]


def test_every_error_has_its_code_and_status():
    assert {cls.default_code: cls.status_code for cls in CLASSES} == TABLE
    # REST framework has exceptions for the other two.
    assert REFUSALS.keys() - TABLE.keys() == {"csrf_failed", "not_found"}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_subclass_of_a_project_keeps_code_and_status(cls):
    # As a class statement of a project: ``class Own(InvalidApiKey)``.
    Own: Any = type("Own", (cls,), {})
    error = Own()

    assert (Own.status_code, Own.default_code) == (cls.status_code, cls.default_code)
    assert error.detail == {"detail": str(cls.default_detail), "code": cls.default_code}
    assert Own("Another text.").detail == {"detail": "Another text.", "code": cls.default_code}
