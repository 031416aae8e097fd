"""Keys for ``make demo``, and requests to show their permissions."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.db import transaction

from closient_auth.keys import hash_api_key
from closient_auth.models import ApiKey, Organization
from example.demo_data import ALPINE_OUTDOOR, HARBOR_COFFEE
from example.demo_history import PRINTED, SCRIPT, SERVER, SLOW, WIDGET, DemoKey
from products.models import Product


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
    keys = DemoKeys(business=make_key(SERVER), user=make_key(SCRIPT), publishable=make_key(WIDGET), slow=make_key(SLOW))
    # Somebody may have renamed a key, or given it another successor.
    ApiKey.objects.filter(description=PRINTED).exclude(hashed_key__in=map(hash_api_key, vars(keys).values())).revoke()
    return keys


def make_key(demo: DemoKey) -> str:
    """Return the raw key of a new key, which continues the usage history of the previous one."""
    by = get_user_model().objects.get(username=demo.by)
    holder = {"organization": Organization.objects.get(slug=demo.organization)} if demo.organization else {"user": by}
    same = {"prefix": demo.prefix, "name": demo.name, "description": PRINTED, **holder}
    # ``rotate()`` would keep limits and restrictions that somebody has set since, and the statuses would not be as printed.
    last = ApiKey.objects.filter(**same, successor=None).order_by("created_at").last()
    if last is not None:
        last.revoke(by=by)
    return ApiKey.objects.create_key(**same, **demo.options, rotated_from=last, by=by)[1]


def get_variables(base_url: str, keys: DemoKeys) -> list[str]:
    """Return the shell commands that define what the commands of ``get_requests()`` use."""
    coffee = Product.objects.filter(organization__slug=HARBOR_COFFEE.slug).first().pk
    return [
        f"export SITE={base_url}",
        "export API=$SITE/products/api/v1/products BILLS=$SITE/billing/api/v1/invoices",
        f"export COFFEE=$API/{coffee}",
        f"export ALPINE=X-Organization:{ALPINE_OUTDOOR.slug} HARBOR=X-Organization:{HARBOR_COFFEE.slug}",
        f"export KEY={keys.business}",
        f"export ADA={keys.user}",
        f"export WIDGET={keys.publishable}",
        f"export SLOW={keys.slow}",
    ]


REQUESTS = (
    DemoRequest(
        200,
        "A business key reads the products of Alpine Outdoor",
        'curl -s -H "X-API-Key: $KEY" $API | python3 -m json.tool',
    ),
    DemoRequest(
        200,
        "Ada's key reads the bills of Alpine Outdoor, as she is its Owner",
        'curl -i -H "X-API-Key: $ADA" -H $ALPINE $BILLS',
    ),
    DemoRequest(
        201,
        "Ada's key adds an offer to Harbor Coffee, as she is an Editor there",
        'curl -i -H "X-API-Key: $ADA" -H $HARBOR -d price=26.50 -d currency=EUR $COFFEE/offers',
    ),
    DemoRequest(200, "A publishable key reads the products of Harbor Coffee", 'curl -i -H "X-API-Key: $WIDGET" $API'),
    DemoRequest(401, "A request without a key is refused", "curl -i $API"),
    DemoRequest(
        403,
        "Ada's key cannot read the bills of Harbor Coffee, as she is an Editor there",
        'curl -i -H "X-API-Key: $ADA" -H $HARBOR $BILLS',
    ),
    DemoRequest(
        404,
        "The key of Alpine Outdoor does not find a product of Harbor Coffee",
        'curl -i -H "X-API-Key: $KEY" $COFFEE',
    ),
    DemoRequest(
        429,
        "A key limited to three requests a minute sends four",
        "for i in 1 2 3 4; do curl -sI -H \"X-API-Key: $SLOW\" $API | grep -iE '^HTTP|^Retry'; done",
    ),
)
