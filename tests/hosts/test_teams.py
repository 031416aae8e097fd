"""A project with teams of its own adopts this package."""

from __future__ import annotations

import pytest

from tests.hosts.adoption import HostProject

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return HostProject("teams", tmp_path_factory.mktemp("pristine"))


def test_own_tests_before_the_adoption(pristine):
    assert pristine.run_own_tests() == 32
