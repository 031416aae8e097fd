from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models.signals import pre_save

from closient_auth.actors import Actor
from closient_auth.models import Membership, Organization
from tests.factories import OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db

# Valid slugs accepted by Python's ``UUID`` as well.
UUID_SLUGS = [
    "0189f7e2-3c4d-7a1b-9f00-123456789abc",
    "0189F7E2-3C4D-7A1B-9F00-123456789ABC",
    "0189f7e23c4d7a1b9f00123456789abc",
    "01-89f7e23c4d7a1b9f00-123456789abc",
    "0189f7e23c4d7a1b9f00123456789abc-",
    "-0189f7e23c4d7a1b9f00123456789abc",
    "0-1-8-9f7e23c4d7a1b9f00123456789abc",
    "0_1_8_9f7e23c4d7a1b9f00123456789",
    "0x0189f7e23c4d7a1b9f00123456789a",
    "00000000000000000000000000000000",
]
# Spellings of a UUID with characters not allowed in a slug.
UUID_TEXTS = [
    "{0189f7e2-3c4d-7a1b-9f00-123456789abc}",
    "urn:uuid:0189f7e2-3c4d-7a1b-9f00-123456789abc",
    "uuid:0189f7e23c4d7a1b9f00123456789abc",
    "+189f7e23c4d7a1b9f00123456789abc",
    " 189f7e23c4d7a1b9f00123456789abc",
    "\N{FULLWIDTH DIGIT ZERO}189f7e23c4d7a1b9f00123456789abc",
]


def create(**kwargs):
    kwargs = {"name": "Acme Foods", "owner": UserFactory.create(), **kwargs}
    return Organization.objects.create_organization(**kwargs)


def test_organization_comes_with_its_owner():
    user = UserFactory.create()

    organization = create(owner=user)

    assert isinstance(organization.pk, UUID)
    assert (organization.name, organization.slug, str(organization)) == ("Acme Foods", "acme-foods", "Acme Foods")
    assert [(member.user, member.role) for member in organization.memberships.all()] == [(user, "owner")]


def test_slug_may_be_chosen():
    for slug in ("acme_2", "a", "3m", "37--signals", "a-", "2026-q1"):
        assert create(slug=slug).slug == slug


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("  Acme -- Foods!  ", "acme-foods"),
        ("Ácme Føods", "acme-fods"),
        ("x" * 255, "x" * 40),
        ("x" * 39 + " yyy", "x" * 39),
        ("_acme_", "acme"),
    ],
)
def test_slug_is_made_from_the_name(name, slug):
    assert create(name=name).slug == slug


@pytest.mark.parametrize("name", ["株式会社", "!!!", "_", "-"])
def test_name_without_a_slug_gets_one(name):
    slug = create(name=name).slug

    assert slug.startswith("organization-")
    assert slug != create(name=name).slug


@pytest.mark.parametrize("name", ["Acme", "x" * 255, "0189f7e23c4d7a1b9f001234"])
def test_taken_slug_is_told_apart(name):
    slugs = {create(name=name).slug for _ in range(20)}

    assert len(slugs) == 20
    assert all(slug.startswith(name[:40].lower()) and len(slug) <= 50 for slug in slugs)


def test_a_bare_row_gets_a_slug_too():
    slugs = {Organization.objects.create(name=name).slug for name in ("Acme", "Acme", "")}

    assert sorted(slug.rpartition("-")[0] for slug in slugs) == ["acme", "acme", "organization"]


@pytest.mark.parametrize("slug", UUID_SLUGS)
def test_a_bare_row_has_no_slug_that_reads_as_a_uuid(slug):
    organization = create()
    organization.slug = slug

    for refused in (organization.save, lambda: Organization.objects.create(name="Mine", slug=slug)):
        with pytest.raises(ValidationError) as caught:
            refused()
        assert caught.value.code == "slug_reads_as_uuid"
    assert Organization.objects.get().slug == "acme-foods"


@pytest.mark.parametrize("slug", UUID_SLUGS)
def test_slug_that_reads_as_a_uuid_is_refused(slug):
    with pytest.raises(ValidationError) as caught:
        create(slug=slug)

    assert [error.code for error in caught.value.error_dict["slug"]] == ["slug_reads_as_uuid"]
    assert not Organization.objects.exists()
    # A name may look like a UUID, because its slug gets a suffix.
    UUID(slug)
    with pytest.raises(ValueError, match="badly formed|invalid literal"):
        UUID(create(name=slug).slug)


@pytest.mark.parametrize("slug", [*UUID_TEXTS, "acme foods", "acme.foods", "akmé", "acme\n", "x" * 51, "/", "\x00"])
def test_what_is_no_slug_is_refused(slug):
    with pytest.raises(ValidationError) as caught:
        create(slug=slug)

    assert set(caught.value.error_dict) == {"slug"}
    assert not Organization.objects.exists()


# Slugs that Django accepts.
UPPER_CASE, UNCLEAR = ["ACME", "Acme", "acmE-foods"], ["-", "_", "--", "0", "2026", "1-2", "-acme", "_acme"]
RESERVED = ["admin", "api", "me", "new", "accept", "settings", "organizations"]


@pytest.mark.parametrize(
    ("slug", "code"),
    [*((slug, "invalid") for slug in UPPER_CASE + UNCLEAR), *((slug, "slug_reserved") for slug in RESERVED)],
)
def test_slug_that_could_be_mistaken_is_refused(organization, slug, code):
    refusals = [lambda: create(slug=slug), lambda: organization.rename(slug=slug)]
    codes = []
    for refuse in refusals:
        with pytest.raises(ValidationError) as caught:
            refuse()
        codes.append([error.code for error in caught.value.error_dict["slug"]])
    with pytest.raises(ValidationError) as caught:
        Organization.objects.create(name="Mine", slug=slug)

    assert [*codes, [caught.value.code]] == [[code]] * 3
    organization.refresh_from_db()
    assert [row.slug for row in Organization.objects.all()] == [organization.slug]
    assert organization.slug != slug


@pytest.mark.parametrize("slug", [*UPPER_CASE, *UNCLEAR, "acme foods"])
def test_database_refuses_such_a_slug_too(organization, slug):
    with pytest.raises(IntegrityError), transaction.atomic():
        Organization.objects.bulk_create([Organization(name="Mine", slug=slug)])
    with pytest.raises(IntegrityError), transaction.atomic():
        Organization.objects.filter(pk=organization.pk).update(slug=slug)


@pytest.mark.parametrize("name", ["Admin", "API", "2026", "0"])
def test_name_with_a_slug_that_could_be_mistaken_gets_a_suffix(name):
    assert create(name=name).slug.startswith(f"{name.lower()}-")


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_name_is_needed_and_short(name):
    with pytest.raises(ValidationError) as caught:
        create(name=name)

    assert set(caught.value.error_dict) == {"name"}
    assert not Organization.objects.exists()


def test_taken_slug_is_refused():
    create(slug="acme")

    with pytest.raises(ValidationError, match="Organization with this Slug already exists"):
        create(slug="acme")
    with pytest.raises(IntegrityError), transaction.atomic():
        Organization.objects.bulk_create([Organization(name="Other", slug="acme")])

    assert Organization.objects.count() == 1


@pytest.fixture
def take_slug():
    """Let another organization take the slug between validation and saving."""

    def take(instance, **kwargs):
        pre_save.disconnect(take, sender=Organization)
        Organization.objects.bulk_create([Organization(name="Faster", slug=instance.slug)])

    pre_save.connect(take, sender=Organization)
    yield
    pre_save.disconnect(take, sender=Organization)


@pytest.mark.usefixtures("take_slug")
def test_chosen_slug_that_was_taken_meanwhile_is_refused():
    with pytest.raises(ValidationError, match="Organization with this Slug already exists"):
        create(slug="acme")

    assert not Organization.objects.exclude(name="Faster").exists()
    assert not Membership.objects.exists()


@pytest.mark.usefixtures("take_slug")
def test_made_slug_that_was_taken_meanwhile_gives_way():
    organization = create(name="Acme")

    assert organization.slug.startswith("acme-")
    assert Membership.objects.get(organization=organization).role == "owner"


def test_inactive_user_owns_nothing():
    with pytest.raises(ValidationError, match="must be an active user"):
        create(owner=UserFactory.create(is_active=False))

    assert not Organization.objects.exists()


def test_nothing_is_left_where_the_owner_cannot_be_saved():
    def fail(**kwargs):
        raise ZeroDivisionError

    pre_save.connect(fail, sender=Membership)
    try:
        with pytest.raises(ZeroDivisionError):
            create()
    finally:
        pre_save.disconnect(fail, sender=Membership)

    assert not Organization.objects.exists()


def test_named_finds_by_id_or_slug():
    organization = OrganizationFactory.create(slug="acme")
    OrganizationFactory.create(slug="neighbour")
    spellings = [
        str(organization.pk),
        str(organization.pk).upper(),
        organization.pk.hex,
        f"{{{organization.pk}}}",
        "acme",
    ]

    for name in spellings:
        assert list(Organization.objects.named(name)) == [organization]
        assert organization.is_named(name)


@pytest.mark.parametrize(
    "name",
    ["", "other", str(uuid4()), "acme ", "ACME", "acme\n", "acme\x00", "'", "%", "\ud800", "akmé", "x" * 100_000],
)
def test_named_finds_nothing_else(name):
    organization = OrganizationFactory.create(slug="acme")

    assert list(Organization.objects.named(name)) == []
    assert not organization.is_named(name)


@pytest.mark.parametrize("name", ["acme\x00", "'", "\ud800", "", " ", "x" * 51])
def test_hostile_text_never_reaches_the_database(django_assert_num_queries, name):
    with django_assert_num_queries(0):
        assert not Organization.objects.named(name)


@pytest.mark.parametrize("who", ["owner", "superuser"])
def test_owner_renames_and_deletes(who, organization, join, neighbour):
    owner = join("owner").user
    by = owner if who == "owner" else Actor(UserFactory.create(is_superuser=True), is_superuser=True)

    organization.rename(name="Acme Ltd", by=by)
    assert Organization.objects.get(slug="acme-foods").name == "Acme Ltd"
    organization.delete(by=by)

    assert list(Organization.objects.all()) == [neighbour.organization]


@pytest.mark.parametrize("who", ["manager", "billing", "editor", "outsider", "demoted", "bare superuser"])
def test_nobody_else_renames_or_deletes(who, organization, join, neighbour):
    join("owner")
    if who == "outsider":
        by = neighbour.user
    elif who == "bare superuser":
        # A task fetches the user again: nothing proves that a session is behind it.
        by = UserFactory.create(is_superuser=True)
    else:
        by = join("owner" if who == "demoted" else who).user
        # The user instance and its cached membership still have the old role.
        Membership.objects.filter(user=by, role="owner").update(role="manager")
    before = list(Organization.objects.order_by("pk").values())
    outside = ("outsider", "bare superuser")
    reason = "You are not a member of this" if who in outside else "Your role does not allow this"

    for refused in (lambda: organization.rename(name="Mine", slug="mine", by=by), lambda: organization.delete(by=by)):
        with pytest.raises(PermissionDenied, match=reason):
            refused()

    assert (organization.name, organization.slug) == ("Acme Foods", "acme-foods")
    assert list(Organization.objects.order_by("pk").values()) == before


def test_works_without_time_zones(settings):
    settings.USE_TZ = False

    organization = create()

    organization.refresh_from_db()
    assert organization.created_at.tzinfo is None
