from __future__ import annotations

import pytest

from tests.factories import UserFactory, make_key
from tests.memberships.models import Team, TeamRole

pytestmark = pytest.mark.django_db


def test_changes_by_update_act_on_the_next_request(teams, call):
    team = Team.objects.create(name="Acme", code="Acme.Inc")
    ada = UserFactory.create()
    TeamRole.objects.create(team=team, user=ada, name="clerk")
    _, raw_key = make_key("csu", user=ada)
    assert call("/organization/", raw_key).status_code == 200
    assert team.organization is not None
