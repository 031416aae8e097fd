from __future__ import annotations

import pytest

from closient_auth.keys import get_hint, hash_api_key
from closient_auth.models import ApiKey
from tests.factories import OrganizationFactory
from tests.hostile.cases import LIVE


@pytest.fixture
def live_key():
    """Return the saved, unused key for ``LIVE``."""
    return ApiKey.objects.create(
        prefix="csb", organization=OrganizationFactory.create(), hashed_key=hash_api_key(LIVE), hint=get_hint(LIVE)
    )
