from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

# What the members with a role may do. A person with several roles may do what any of them may.
RIGHTS = {
    "admin": {"view", "plan", "bill", "manage"},
    "lead": {"view", "plan", "manage"},
    "planner": {"view", "plan"},
    "accountant": {"view", "bill"},
    "viewer": {"view"},
}


class TeamQuerySet(models.QuerySet):
    def of(self, user):
        """Return the teams that a user may see."""
        if user.is_superuser:
            return self
        return self.filter(members__user=user.pk, members__left_at=None)


class Team(models.Model):
    name = models.CharField(max_length=200)
    slug = models.CharField(max_length=100, unique=True, validators=[RegexValidator(r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z")])

    objects = TeamQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name

    def get_rights(self, user):
        if user.is_superuser:
            return set.union(*RIGHTS.values())
        roles = TeamRole.objects.filter(member__team=self, member__user=user.pk, member__left_at=None)
        return set().union(*(RIGHTS[role] for role in roles.values_list("role", flat=True)))

    def set_roles(self, user, roles):
        """Make the user a member with these roles only, also somebody who had left."""
        member, _ = TeamMember.objects.update_or_create(team=self, user=user, defaults={"left_at": None})
        member.roles.exclude(role__in=roles).delete()
        TeamRole.objects.bulk_create([TeamRole(member=member, role=role) for role in roles], ignore_conflicts=True)

    def remove(self, user):
        """Note that the user has left. The row stays, because it says who planned what."""
        self.members.filter(user=user, left_at=None).update(left_at=timezone.now())


class TeamMember(models.Model):
    team = models.ForeignKey(Team, models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="team_members")
    joined_at = models.DateTimeField(default=timezone.now)
    left_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="one_member_per_team")]

    def __str__(self):
        return f"{self.user} in {self.team}"


class TeamRole(models.Model):
    member = models.ForeignKey(TeamMember, models.CASCADE, related_name="roles")
    role = models.CharField(max_length=20, choices=[(role, role.title()) for role in RIGHTS])

    class Meta:
        constraints = [models.UniqueConstraint(fields=["member", "role"], name="one_row_per_role")]

    def __str__(self):
        return self.role
