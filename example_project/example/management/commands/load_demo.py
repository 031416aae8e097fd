from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from billing.models import Invoice
from closient_auth.actors import acting
from closient_auth.models import Membership, Organization
from example.demo_data import ADMIN, ORGANIZATIONS, PASSWORD, PEOPLE, DemoOrganization
from example.demo_history import at, load_history
from products.models import Offer, Product

# The organizations were created so many days ago.
FOUNDED = 400


class Command(BaseCommand):
    help = (
        "Load two organizations with members of every role, products, offers, invoices and a month of API keys and "
        "requests, and the superuser 'admin'. Running it again adds missing rows and restores the members' roles."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--password", help=f"Password of all new users (default with DEBUG on: {PASSWORD!r}).")

    def handle(self, *args: Any, password: str | None = None, **options: Any) -> None:
        if password is None and not settings.DEBUG:
            raise CommandError("Set --password: DEBUG is off, and the default password is public.")
        with transaction.atomic():
            self.load_people(password or PASSWORD)
            for demo in ORGANIZATIONS:
                organization = self.load_organization(demo)
                self.load_products(demo, organization)
                self.load_invoices(demo, organization)
                self.report(organization)
        load_history()

    def load_people(self, password: str) -> None:
        User = get_user_model()
        known = User.objects.in_bulk([*PEOPLE, ADMIN], field_name="username")
        if len(known) > len(PEOPLE):
            return
        # Hashing is slow, so it is done once. A new hash for an existing user would end the user's sessions.
        same = {"password": make_password(password), "date_joined": timezone.now() - timedelta(FOUNDED)}
        for username, name in PEOPLE.items():
            first_name, last_name = name.split()
            person = {"first_name": first_name, "last_name": last_name, "email": f"{username}@demo.example"}
            User.objects.get_or_create(username=username, defaults={**same, **person})
        admin = {"is_staff": True, "is_superuser": True, "email": f"{ADMIN}@demo.example"}
        User.objects.get_or_create(username=ADMIN, defaults={**same, **admin})

    def load_organization(self, demo: DemoOrganization) -> Organization:
        users = get_user_model().objects.in_bulk([username for username, _ in demo.members], field_name="username")
        owner = users[demo.members[0][0]]
        organization = Organization.objects.filter(slug=demo.slug).first()
        days = 0 if organization else FOUNDED
        with acting(owner):
            if organization is None:
                with at(days):
                    organization = Organization.objects.create_organization(name=demo.name, slug=demo.slug, owner=owner)
            # The Owner is restored first, because an organization must keep an Owner when another one is changed.
            for number, (username, role) in enumerate(demo.members):
                with at(days * (1 - number / 10)):
                    Membership.objects.update_or_create(
                        organization=organization, user=users[username], defaults={"role": role}
                    )
        return organization

    def load_products(self, demo: DemoOrganization, organization: Organization) -> None:
        for row in demo.products:
            product, is_new = Product.objects.get_or_create(
                organization=organization,
                gtin=row.gtin,
                defaults={"name": row.name, "description": row.description},
            )
            for price, link in row.offers if is_new else ():
                product.offers.create(price=price, currency=demo.currency, link=link)

    def load_invoices(self, demo: DemoOrganization, organization: Organization) -> None:
        for month in (7, 8, 9):
            Invoice.objects.get_or_create(
                number=f"{demo.slug}-2026-{month:02}",
                defaults={
                    "organization": organization,
                    "month": date(2026, month, 1),
                    "amount": demo.monthly_bill,
                    "currency": demo.currency,
                    "status": Invoice.Status.OPEN if month == 9 else Invoice.Status.PAID,
                },
            )

    def report(self, organization: Organization) -> None:
        title = self.style.MIGRATE_HEADING(organization.name)
        products = organization.products.count()
        offers = Offer.objects.filter(product__organization=organization).count()
        invoices = organization.invoices.count()
        self.stdout.write(f"{title}: {products} products, {offers} offers, {invoices} invoices")
        for membership in organization.memberships.select_related("user").order_by("created_at"):
            user = membership.user
            self.stdout.write(f"  {user.username:6} {membership.get_role_display():9} {user.get_full_name()}")
