from django.contrib.auth import get_user_model
from django.test import TestCase
from rest_framework.authtoken.models import Token
from rest_framework.test import APITestCase

from teams.models import Team, TeamMember, TeamRole
from teams.staffing import add_people, change_role, swap_roles

User = get_user_model()


def make_team(slug, **people):
    """Return a team with these users; ``ada=["admin"]`` makes the user ada with her roles."""
    team = Team.objects.create(name=slug.title(), slug=slug)
    for name, roles in people.items():
        user, _ = User.objects.get_or_create(username=name)
        team.set_roles(user, roles)
    return team


class RightsTests(TestCase):
    def test_several_roles_add_up(self):
        team = make_team("north", ada=["planner", "accountant"])

        self.assertEqual(team.get_rights(User.objects.get()), {"view", "plan", "bill"})

    def test_members_without_roles_may_nothing(self):
        team = make_team("north", ada=[])

        self.assertEqual(team.get_rights(User.objects.get()), set())
        self.assertEqual(list(Team.objects.of(User.objects.get())), [team])

    def test_who_has_left_may_nothing(self):
        team = make_team("north", ada=["admin"])
        ada = User.objects.get()

        team.remove(ada)

        self.assertEqual(team.get_rights(ada), set())
        self.assertFalse(Team.objects.of(ada).exists())
        self.assertTrue(TeamMember.objects.filter(user=ada).exists())

    def test_who_comes_back_has_the_new_roles_only(self):
        team = make_team("north", ada=["admin"])
        ada = User.objects.get()
        team.remove(ada)

        team.set_roles(ada, ["viewer"])

        self.assertEqual(team.get_rights(ada), {"view"})


class StaffingTests(TestCase):
    def test_change_role_changes_one_team_only(self):
        north, south = make_team("north", ada=["viewer"]), make_team("south", ada=["viewer"])

        self.assertEqual(change_role(north, "viewer", "planner"), 1)

        ada = User.objects.get()
        self.assertEqual(north.get_rights(ada), {"view", "plan"})
        self.assertEqual(south.get_rights(ada), {"view"})

    def test_add_people(self):
        team = make_team("north")
        users = User.objects.bulk_create([User(username=name) for name in ("ada", "ben")])

        add_people(team, User.objects.filter(username__in=[user.username for user in users]), "accountant")

        self.assertEqual([team.get_rights(user) for user in User.objects.all()], [{"view", "bill"}] * 2)

    def test_swap_roles_of_the_only_admin(self):
        team = make_team("north", ada=["admin"], ben=["viewer"])
        ada, ben = TeamMember.objects.order_by("user__username")

        swap_roles(ada, ben)

        self.assertEqual(team.get_rights(ada.user), {"view"})
        self.assertEqual(team.get_rights(ben.user), {"view", "plan", "bill", "manage"})


class DeletionTests(TestCase):
    def test_team_goes_with_all_it_has(self):
        team = make_team("north", ada=["admin"])
        team.projects.create(name="Harbour").tasks.create(title="Measure")

        team.delete()

        self.assertFalse(TeamRole.objects.exists())
        self.assertTrue(User.objects.exists())

    def test_the_only_admin_can_go(self):
        team = make_team("north", ada=["admin"])

        User.objects.get().delete()

        self.assertFalse(team.members.exists())


class TeamApiTests(APITestCase):
    @classmethod
    def setUpTestData(cls):
        cls.team = make_team("North.Side", ada=["admin"], ben=["planner"])
        make_team("south", zoe=["admin"])

    def login(self, name):
        self.client.force_login(User.objects.get(username=name))

    def test_list_has_own_teams_only(self):
        self.login("ben")

        self.assertEqual([team["slug"] for team in self.client.get("/api/teams/").data], ["North.Side"])

    def test_anonymous(self):
        self.assertEqual(self.client.get("/api/teams/").status_code, 401)
        self.assertEqual(self.client.get("/api/teams/North.Side/").status_code, 401)

    def test_token(self):
        token = Token.objects.create(user=User.objects.get(username="ben"))
        self.client.credentials(HTTP_AUTHORIZATION=f"Token {token.key}")

        self.assertEqual(self.client.get("/api/teams/North.Side/").data["name"], "North.Side")

    def test_founder_is_admin(self):
        self.login("zoe")

        founded = self.client.post("/api/teams/", {"name": "West", "slug": "West.2"})

        self.assertEqual(founded.status_code, 201)
        self.assertEqual(self.client.get("/api/teams/West.2/members/").data, [{"user": "zoe", "roles": ["admin"]}])

    def test_slug_is_taken(self):
        self.login("zoe")

        self.assertEqual(self.client.post("/api/teams/", {"name": "Other", "slug": "south"}).status_code, 400)

    def test_foreign_team_is_missing(self):
        self.login("ada")

        for address in ("/api/teams/south/", "/api/teams/nowhere/", "/api/teams/south/members/"):
            self.assertEqual(self.client.get(address).status_code, 404)

    def test_rename_and_delete_need_an_admin(self):
        self.login("ben")
        self.assertEqual(self.client.patch("/api/teams/North.Side/", {"name": "N"}).status_code, 403)
        self.assertEqual(self.client.delete("/api/teams/North.Side/").status_code, 403)

        self.login("ada")
        self.assertEqual(self.client.patch("/api/teams/North.Side/", {"name": "N"}).data["name"], "N")
        self.assertEqual(self.client.delete("/api/teams/North.Side/").status_code, 204)
        self.assertEqual(Team.objects.get().slug, "south")

    def test_admin_changes_roles(self):
        self.login("ada")

        changed = self.client.put("/api/teams/North.Side/members/ben/", {"roles": ["viewer", "accountant"]})

        self.assertEqual(changed.data, {"user": "ben", "roles": ["accountant", "viewer"]})
        self.assertEqual(self.team.get_rights(User.objects.get(username="ben")), {"view", "bill"})

    def test_the_only_admin_may_step_down_and_leave(self):
        self.login("ada")

        self.assertEqual(self.client.put("/api/teams/North.Side/members/ada/", {"roles": ["lead"]}).status_code, 200)
        self.assertEqual(self.client.delete("/api/teams/North.Side/members/ada/").status_code, 204)
        self.assertEqual(self.client.get("/api/teams/North.Side/").status_code, 404)


class AdminTests(TestCase):
    def setUp(self):
        self.client.force_login(User.objects.create_superuser("root"))

    def test_team_is_added_changed_and_deleted(self):
        self.client.post("/admin/teams/team/add/", {"name": "North", "slug": "north"})
        team = Team.objects.get()
        self.client.post(f"/admin/teams/team/{team.pk}/change/", {"name": "Northern", "slug": "north"})
        self.assertEqual(Team.objects.get().name, "Northern")

        self.client.post(f"/admin/teams/team/{team.pk}/delete/", {"post": "yes"})

        self.assertFalse(Team.objects.exists())

    def test_the_only_admin_is_demoted_and_deleted(self):
        team = make_team("north", ada=["admin"])
        member, role = TeamMember.objects.get(), TeamRole.objects.get()
        data = {"team": team.pk, "user": member.user_id, "joined_at_0": "2026-01-01", "joined_at_1": "12:00:00"}
        inline = {"roles-TOTAL_FORMS": 1, "roles-INITIAL_FORMS": 1, "roles-0-id": role.pk, "roles-0-member": member.pk}
        self.client.post(f"/admin/teams/teammember/{member.pk}/change/", data | inline | {"roles-0-role": "viewer"})
        self.assertEqual(str(TeamRole.objects.get()), "viewer")

        self.client.post(f"/admin/auth/user/{member.user_id}/delete/", {"post": "yes"})

        self.assertEqual(list(User.objects.values_list("username", flat=True)), ["root"])
