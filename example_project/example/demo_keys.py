"""Keys for ``make demo``, and requests to show their permissions."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote

from django.contrib.auth import get_user_model
from django.db import transaction

from closient_auth.keys import KeyType
from closient_auth.models import ApiKey, Organization
from example.demo_data import ALPINE_OUTDOOR, HARBOR_COFFEE
from products.models import Product

# The next start revokes the keys with this prefix.
NAME = "Demo: "


@dataclass(frozen=True)
class DemoKeys:
    """The raw keys of the demo, not stored anywhere else."""

    business: str
    user: str
    publishable: str
    slow: str


@dataclass(frozen=True)
class DemoRequest:
    """A shell command and the status of its last response."""

    status: int
    text: str
    command: str


@transaction.atomic
def make_keys() -> DemoKeys:
    """Create a key of each type, and one with a low limit. Revoke the keys of the previous start."""
    ApiKey.objects.filter(name__startswith=NAME).revoke()
    alpine = Organization.objects.get(slug=ALPINE_OUTDOOR.slug)
    harbor = Organization.objects.get(slug=HARBOR_COFFEE.slug)
    ada = get_user_model().objects.get(username="ada")

    def make(prefix: str, name: str, **options: object) -> str:
        return ApiKey.objects.create_key(prefix=prefix, name=NAME + name, created_by=ada, **options)[1]

    return DemoKeys(
        business=make(KeyType.BUSINESS, "server of Alpine Outdoor", organization=alpine),
        user=make(KeyType.USER, "script of Ada", user=ada),
        publishable=make(KeyType.PUBLISHABLE, "widget of Harbor Coffee", organization=harbor),
        slow=make(KeyType.BUSINESS, "three a minute", organization=alpine, rate_limit_per_minute=3),
    )


def get_requests(base_url: str, keys: DemoKeys) -> list[DemoRequest]:
    """Return a request for each case of the demo."""
    products = f"{base_url}/products/api/v1/products"
    invoices = f"{base_url}/billing/api/v1/invoices"
    coffee = f"{products}/{Product.objects.filter(organization__slug=HARBOR_COFFEE.slug).first().pk}"
    ada_in_alpine = [f"X-API-Key: {keys.user}", f"X-Organization: {ALPINE_OUTDOOR.slug}"]
    ada_in_harbor = [f"X-API-Key: {keys.user}", f"X-Organization: {HARBOR_COFFEE.slug}"]
    business, publishable, slow = (f"X-API-Key: {key}" for key in (keys.business, keys.publishable, keys.slow))
    loop = f"for i in 1 2 3 4; do {curl(products, slow, options='-sI')} | grep -iE '^HTTP|^Retry'; done"
    return [
        DemoRequest(200, "A business key reads the products of Alpine Outdoor", curl(products, business)),
        DemoRequest(
            200, "Ada's key reads the bills of Alpine Outdoor, as she is its Owner", curl(invoices, *ada_in_alpine)
        ),
        DemoRequest(
            201,
            "Ada's key adds an offer to Harbor Coffee, as she is an Editor there",
            curl(f"{coffee}/offers", *ada_in_harbor, options="-i -d price=26.50 -d currency=EUR"),
        ),
        DemoRequest(200, "A publishable key reads the products of Harbor Coffee", curl(products, publishable)),
        DemoRequest(401, "A request without a key is refused", curl(products)),
        DemoRequest(
            403,
            "Ada's key cannot read the bills of Harbor Coffee, as she is an Editor there",
            curl(invoices, *ada_in_harbor),
        ),
        DemoRequest(404, "The key of Alpine Outdoor does not find a product of Harbor Coffee", curl(coffee, business)),
        DemoRequest(429, "A key limited to three requests a minute sends four", loop),
    ]


def curl(url: str, *headers: str, options: str = "-i") -> str:
    return " ".join(["curl", options, *(f"-H {quote(header)}" for header in headers), quote(url)])
