"""Changes of many members at once. They run from the shell and from a nightly job that reads the personnel system."""

from teams.models import TeamMember, TeamRole


def change_role(team, old, new):
    """Give everyone in the team with the role ``old`` the role ``new`` instead."""
    return TeamRole.objects.filter(member__team=team, role=old).update(role=new)


def add_people(team, users, role):
    """Add people who were never in the team, all with one role."""
    TeamMember.objects.bulk_create([TeamMember(team=team, user=user) for user in users])
    members = TeamMember.objects.filter(team=team, user__in=users)
    TeamRole.objects.bulk_create([TeamRole(member=member, role=role) for member in members])


def swap_roles(first, second):
    """Exchange the roles of two members of one team."""
    mine = list(first.roles.values_list("pk", flat=True))
    second.roles.update(member=first)
    TeamRole.objects.filter(pk__in=mine).update(member=second)
