from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.factories import MembershipFactory, UserFactory


def make_person(name, organization):
    """Return a member with the password "old" and a token of each package."""
    from knox.models import AuthToken
    from oauth2_provider.models import AccessToken, Application
    from rest_framework.authtoken.models import Token

    user = UserFactory.create(username=name)
    user.set_password("old")
    user.save()
    MembershipFactory.create(user=user, organization=organization)
    Token.objects.create(user=user)
    AuthToken.objects.create(user=user)
    shop, _ = Application.objects.get_or_create(
        client_id="shop", client_type=Application.CLIENT_PUBLIC, authorization_grant_type=Application.GRANT_PASSWORD
    )
    tomorrow = timezone.now() + timedelta(days=1)
    AccessToken.objects.create(user=user, token=name, application=shop, expires=tomorrow)
    return user


@pytest.fixture
def person(db):
    """Return a member of an organization that has another one."""
    organization = MembershipFactory.create(role="owner").organization
    make_person("neighbor", organization)
    return make_person("person", organization)
