from __future__ import annotations

from django.contrib.auth import get_user_model
from drf_simple_apikey.models import APIKey as SimpleApiKey
from knox.models import AuthToken
from rest_framework.authtoken.models import Token
from rest_framework_api_key.models import APIKey as DrfApiKey

from closient_auth.keys import KeyType
from closient_auth.models import ApiKey, Organization

# The limits are never reached, but each request counts in both windows.
LIMITS = {"rate_limit_per_minute": 1_000_000_000, "rate_limit_per_day": 1_000_000_000}


def load() -> dict[str, tuple[str, str]]:
    """Create a credential of each kind; return their headers by name."""
    user = get_user_model().objects.create_user("ada")
    organization = Organization.objects.create_organization(name="Analytical Engines", owner=user)
    _, business = ApiKey.objects.create_key(prefix=KeyType.BUSINESS, organization=organization, **LIMITS)
    _, personal = ApiKey.objects.create_key(prefix=KeyType.USER, user=user, **LIMITS)
    return {
        "": ("Accept", "*/*"),
        "token": ("Authorization", f"Token {Token.objects.create(user=user).key}"),
        "drf_api_key": ("Authorization", f"Api-Key {DrfApiKey.objects.create_key(name='benchmark')[1]}"),
        "knox": ("Authorization", f"Token {AuthToken.objects.create(user)[1]}"),
        "simple_api_key": (
            "Authorization",
            f"Api-Key {SimpleApiKey.objects.create_api_key(name='benchmark', entity=user)[1]}",
        ),
        "business": ("X-API-Key", business),
        "user": ("X-API-Key", personal),
        "malformed": ("X-API-Key", business[:-1]),
        "mistyped": ("X-API-Key", f"{business[:-1]}{'0' if business[-1] != '0' else '1'}"),
    }


def load_keys(number: int) -> list[str]:
    """Create ``number`` business keys in one organization; return the raw keys."""
    organization = Organization.objects.create(name="Many", slug="many")
    return [
        ApiKey.objects.create_key(prefix=KeyType.BUSINESS, organization=organization, **LIMITS)[1]
        for _ in range(number)
    ]
