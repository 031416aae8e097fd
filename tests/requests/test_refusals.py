"""All invalid keys get the same 401. Only the log has the reason."""

from __future__ import annotations

import logging
from datetime import timedelta
from http import HTTPStatus

import pytest
import time_machine
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from closient_auth.keys import generate_api_key, hash_api_key
from closient_auth.models import ApiKey
from tests.factories import OrganizationFactory, UserFactory, make_key
from tests.requests.last_used import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

REFUSED = {"detail": "Invalid API key.", "code": "invalid_api_key"}


def empty():
    return "", "cause=malformed number=1"


def blank():
    return "   ", "cause=malformed number=1"


def misspelt():
    return "csb_key", "cause=malformed number=1"


def placeholder_of_the_specification():
    return "csb_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEf_1a2b3c4d", "cause=malformed number=1"


def other_checksum():
    _, raw_key = make_key("csb")
    return raw_key[:-1] + ("0" if raw_key[-1] != "0" else "1"), "cause=malformed number=1"


def upper_case_checksum():
    # Use a checksum with a letter, since digits have no case.
    raw_key = next(key for key in iter(lambda: make_key("csb")[1], None) if not key[-8:].isdigit())
    return raw_key[:-8] + raw_key[-8:].upper(), "cause=malformed number=1"


def sent_twice():
    _, raw_key = make_key("csb")
    return f"{raw_key},{raw_key}", "cause=malformed number=1"


def sent_beside_a_space():
    return make_key("csb")[1] + " ", "cause=malformed number=1"


def hash_of_a_good_key():
    return hash_api_key(make_key("csb")[1]), "cause=malformed number=1"


def unknown():
    return generate_api_key("csb"), "cause=unknown number=1"


def other_type():
    return "csb" + make_key("cpk")[1][3:], "cause=unknown number=1"


def revoked():
    api_key, raw_key = make_key("csb")
    api_key.revoke()
    return raw_key, f"cause=revoked id={api_key.pk}"


def expired_now():
    api_key, raw_key = make_key("csb", expires_at=NOW)
    return raw_key, f"cause=expired id={api_key.pk}"


def inactive_user():
    api_key, raw_key = make_key("csu", user=UserFactory.create(is_active=False))
    return raw_key, f"cause=user_inactive id={api_key.pk}"


def deleted_user():
    user = UserFactory.create()
    _, raw_key = make_key("csu", user=user)
    user.delete()
    return raw_key, "cause=unknown number=1"


def deleted_organization():
    organization = OrganizationFactory.create()
    _, raw_key = make_key("csb", organization=organization)
    organization.delete()
    return raw_key, "cause=unknown number=1"


CAUSES = [
    empty,
    blank,
    misspelt,
    placeholder_of_the_specification,
    other_checksum,
    upper_case_checksum,
    sent_twice,
    sent_beside_a_space,
    hash_of_a_good_key,
    unknown,
    other_type,
    revoked,
    expired_now,
    inactive_user,
    deleted_user,
    deleted_organization,
]


@pytest.mark.parametrize("cause", CAUSES)
def test_refusal(call, caplog, cause):
    raw_key, reason = cause()
    neighbour, good_key = make_key("csb")
    caplog.set_level(logging.DEBUG)

    response = call("/who/", raw_key)

    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert response["WWW-Authenticate"] == "ApiKey"
    assert response.json() == REFUSED
    (line,) = [record for record in caplog.records if record.name == "closient_auth"]
    assert line.getMessage().startswith(f"api_key=refused {reason}")
    assert line.levelname == ("WARNING" if "revoked" in reason else "INFO")
    assert not raw_key.strip() or raw_key.strip() not in caplog.text
    assert not ApiKey.objects.filter(last_used__isnull=False).exists()
    assert call("/who/", good_key).json()["key"] == str(neighbour.pk)


def test_all_causes_answer_the_same_bytes(call):
    responses = [call("/who/", cause()[0]) for cause in CAUSES]

    assert len({(response.status_code, response.content, str(response.headers)) for response in responses}) == 1


@pytest.mark.parametrize("cause", CAUSES)
def test_bad_key_beside_a_good_session(call, cause):
    user = UserFactory.create()
    client = APIClient()
    client.force_login(user)

    assert call("/who/", cause()[0], client=client).json() == REFUSED
    assert call("/who/", client=client).json() == {"user": str(user.pk), "key": None}


@pytest.mark.parametrize("cause", CAUSES)
def test_bad_key_on_a_public_view(call, cause):
    response = call("/public/", cause()[0])

    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert response.json() == REFUSED


def test_expiry_is_exact(call):
    _, raw_key = make_key("csb", expires_at=NOW + timedelta(microseconds=1))

    assert call("/who/", raw_key).status_code == HTTPStatus.OK
    with time_machine.travel(NOW + timedelta(microseconds=1), tick=False):
        assert call("/who/", raw_key).json() == REFUSED


def test_revocation_acts_on_the_next_request_and_on_no_other_key(call):
    api_key, raw_key = make_key("csb")
    _, sibling_key = make_key("csb", organization=api_key.organization)
    client = APIClient()

    assert call("/who/", raw_key, client=client).status_code == HTTPStatus.OK
    ApiKey.objects.filter(pk=api_key.pk).update(is_active=False)

    assert call("/who/", raw_key, client=client).json() == REFUSED
    assert call("/who/", sibling_key, client=client).status_code == HTTPStatus.OK


def test_deactivated_user_is_refused_at_the_next_request(call):
    user = UserFactory.create()
    _, raw_key = make_key("csu", user=user)
    assert call("/who/", raw_key).status_code == HTTPStatus.OK

    get_user_model().objects.filter(pk=user.pk).update(is_active=False)

    assert call("/who/", raw_key).json() == REFUSED


@pytest.mark.parametrize("address", ["/who/?api_key={0}", "/who/?x-api-key={0}", "/who/?X-API-Key={0}"])
def test_key_in_the_address_is_not_read(call, address):
    _, raw_key = make_key("csb")

    assert call(address.format(raw_key)).json() == {"detail": "Authentication credentials were not provided."}


@pytest.mark.parametrize("header", ["ApiKey {0}", "Bearer {0}", "Token {0}", "{0}"])
def test_key_in_another_header_is_not_read(call, header):
    _, raw_key = make_key("csb")

    assert call("/who/", authorization=header.format(raw_key)).status_code == HTTPStatus.UNAUTHORIZED


def test_key_in_a_cookie_or_body_is_not_read(call):
    _, raw_key = make_key("csb")
    client = APIClient()
    client.cookies["X-API-Key"] = raw_key

    response = call("/who/", client=client, method="post", data={"X-API-Key": raw_key})

    assert response.status_code == HTTPStatus.UNAUTHORIZED


def test_key_of_a_deleted_user_is_gone(call):
    """The key must not become the key of an organization."""
    user = UserFactory.create()
    api_key, raw_key = make_key("csu", user=user)
    user.delete()

    assert call("/who/", raw_key).json() == REFUSED
    assert not ApiKey.objects.filter(pk=api_key.pk).exists()
