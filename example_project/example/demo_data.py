"""Two organizations with members, products and invoices. The GTINs are from GS1's range for examples (952)."""

from __future__ import annotations

from dataclasses import dataclass

from closient_auth.roles import Role


@dataclass(frozen=True)
class DemoProduct:
    gtin: str
    name: str
    description: str
    # Each offer has a price and a link.
    offers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class DemoOrganization:
    slug: str
    name: str
    currency: str
    members: tuple[tuple[str, Role], ...]
    products: tuple[DemoProduct, ...]
    monthly_bill: str


ADMIN = "admin"
PASSWORD = "demo"

PEOPLE = {
    "ada": "Ada Lindqvist",
    "ben": "Ben Osei",
    "bea": "Bea Moreau",
    "eli": "Eli Novak",
    "mia": "Mia Tanaka",
    "max": "Max Ferrari",
    "oli": "Oli Brennan",
}

ALPINE_OUTDOOR = DemoOrganization(
    slug="alpine-outdoor",
    name="Alpine Outdoor",
    currency="CHF",
    monthly_bill="149.00",
    members=(("ada", Role.OWNER), ("mia", Role.MANAGER), ("bea", Role.BILLING), ("eli", Role.EDITOR)),
    products=(
        DemoProduct(
            "9521000010017",
            "Ridge 2 tent",
            "Two-person tent for three seasons, 1.9 kg.",
            (("429.00", "https://alpine-outdoor.example/ridge-2"), ("415.00", "https://basecamp.example/p/ridge-2")),
        ),
        DemoProduct(
            "9521000010024",
            "Cirrus down jacket",
            "800-fill goose down, packs into its own pocket.",
            (("289.00", "https://alpine-outdoor.example/cirrus"),),
        ),
        DemoProduct(
            "9521000010031",
            "Traverse 45 backpack",
            "45 litres, adjustable back, rain cover included.",
            (("179.00", "https://alpine-outdoor.example/traverse-45"), ("185.50", "https://basecamp.example/p/t45")),
        ),
        DemoProduct(
            "9521000010048",
            "Ember gas stove",
            "Boils a litre in three and a half minutes.",
            (("64.90", "https://alpine-outdoor.example/ember"),),
        ),
        DemoProduct("9521000010055", "Glacier sleeping bag", "Comfort at -7 °C. Announced for spring.", ()),
    ),
)

HARBOR_COFFEE = DemoOrganization(
    slug="harbor-coffee",
    name="Harbor Coffee",
    currency="EUR",
    monthly_bill="49.00",
    members=(("oli", Role.OWNER), ("max", Role.MANAGER), ("ben", Role.BILLING), ("ada", Role.EDITOR)),
    products=(
        DemoProduct(
            "9521000020016",
            "Breakwater espresso, 1 kg",
            "Dark roast of Brazil and Sumatra: cocoa, cedar.",
            (("27.50", "https://harbor-coffee.example/breakwater"), ("28.90", "https://market.example/breakwater-1kg")),
        ),
        DemoProduct(
            "9521000020023",
            "Lighthouse filter, 250 g",
            "Light roast from Sidama: bergamot, apricot.",
            (("12.90", "https://harbor-coffee.example/lighthouse"),),
        ),
        DemoProduct(
            "9521000020030",
            "Low Tide decaf, 250 g",
            "Decaffeinated with sugar cane: caramel, plum.",
            (("11.90", "https://harbor-coffee.example/low-tide"),),
        ),
        DemoProduct(
            "9521000020047",
            "Stoneware cup, 180 ml",
            "Thrown by hand in the harbour's own pottery.",
            (("18.00", "https://harbor-coffee.example/cup"),),
        ),
    ),
)

ORGANIZATIONS = (ALPINE_OUTDOOR, HARBOR_COFFEE)
