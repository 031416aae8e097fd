"""Fill the example project's empty database; print the headers of each identity and the ids of the rows as JSON."""

from __future__ import annotations

import json
import sys
from importlib import import_module

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.middleware.csrf import get_token  # noqa: E402
from django.test import Client, RequestFactory  # noqa: E402

from closient_auth.models import Organization  # noqa: E402
from tests.factories import MembershipFactory, OrganizationFactory, make_invitation, make_key  # noqa: E402

# Random requests delete rows, and some have to be left.
ROWS = 40
LIMITS = {"rate_limit_per_minute": 10**9, "rate_limit_per_day": 10**9}


def get_session(user):
    client, request = Client(), RequestFactory().get("/")
    client.force_login(user)
    token = get_token(request)
    cookies = {
        settings.SESSION_COOKIE_NAME: client.cookies[settings.SESSION_COOKIE_NAME].value,
        settings.CSRF_COOKIE_NAME: request.META["CSRF_COOKIE"],
    }
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()), "X-CSRFToken": token}


def get_ids(make):
    return [str(make(number).pk) for number in range(ROWS)]


call_command("migrate", verbosity=0)
call_command("load_demo", stdout=sys.stderr)
Product = import_module("products.models").Product
alpine = Organization.objects.get(slug="alpine-outdoor")
ada = get_user_model().objects.get(username="ada")
hosts = OrganizationFactory.create_batch(ROWS)
values = {
    "organization": [str(alpine.pk)],
    "spare_organizations": get_ids(lambda n: Organization.objects.create_organization(name=f"Spare {n}", owner=ada)),
    "keys": get_ids(lambda n: make_key(organization=alpine)[0]),
    "own_keys": get_ids(lambda n: make_key("csu", user=ada)[0]),
    "members": get_ids(lambda n: MembershipFactory.create(organization=alpine)),
    "invitations": get_ids(lambda n: make_invitation(alpine, f"guest{n}@example.com", by=ada)[0]),
    "products": get_ids(
        lambda n: Product.objects.create(organization=alpine, name=f"Product {n}", gtin="9521000010062")
    ),
    # The Owner has an invitation to each of the other organizations.
    "tokens": [
        make_invitation(host, ada.email, by=MembershipFactory.create(organization=host, role="owner").user)[1]
        for host in hosts
    ],
}
headers = {
    "owner": get_session(ada),
    "csb": {"X-API-Key": make_key("csb", organization=alpine, **LIMITS)[1]},
    "cpk": {"X-API-Key": make_key("cpk", organization=alpine, **LIMITS)[1]},
    "nobody": {},
}
print(json.dumps({"headers": headers, "values": values}))
