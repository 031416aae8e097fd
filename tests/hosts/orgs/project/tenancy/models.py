from uuid import uuid4

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models


class OrganizationQuerySet(models.QuerySet):
    def of(self, user):
        """Return the organizations that the user has joined."""
        return self.filter(pk__in=Membership.objects.joined().filter(user=user).values("organization"))

    def owned_by(self, user):
        owners = Membership.objects.joined().filter(user=user, role=Membership.Role.OWNER)
        return self.filter(pk__in=owners.values("organization"))


class Organization(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    # URLs contain the name.
    name = models.CharField(max_length=100, unique=True, validators=[RegexValidator(r"^[^/?#]+\Z")])
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name


class MembershipQuerySet(models.QuerySet):
    def joined(self):
        """Return the memberships without the pending invitations."""
        return self.filter(date_joined__isnull=False)


class Membership(models.Model):
    """A member of an organization, or an invitation until ``date_joined`` is set.

    An invitation has a user if the invited address has an account already.
    """

    class Role(models.TextChoices):
        OWNER = "owner"
        MEMBER = "member"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="organization_memberships", null=True, blank=True
    )
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    email = models.EmailField(blank=True)
    date_invited = models.DateTimeField(auto_now_add=True)
    date_joined = models.DateTimeField(null=True, blank=True)

    objects = MembershipQuerySet.as_manager()

    def __str__(self):
        return f"{self.user or self.email}: {self.role}"
