from django.contrib.auth import get_user_model
from django.test import TestCase
from rest_framework.test import APITestCase

from planning.models import Project, Task
from teams.tests import make_team

User = get_user_model()


class PlanningTests(APITestCase):
    @classmethod
    def setUpTestData(cls):
        north = make_team("north", ada=["admin"], ben=["planner"], eve=["viewer", "accountant"], sam=[])
        south = make_team("south", zoe=["admin"], ben=["viewer"])
        cls.mine = north.projects.create(name="Harbour", budget=40)
        cls.task = cls.mine.tasks.create(title="Measure")
        cls.theirs = south.projects.create(name="Bridge", budget=2)
        cls.their_task = cls.theirs.tasks.create(title="Dig")

    def ask(self, name, method, address, data=None):
        if name:
            self.client.force_login(User.objects.get(username=name))
        return getattr(self.client, method)(f"/api/teams/{address}", data)

    def test_projects_of_one_team(self):
        listed = self.ask("ben", "get", "north/projects/")

        self.assertEqual(listed.data, [{"id": self.mine.pk, "name": "Harbour"}])

    def test_anonymous(self):
        self.assertEqual(self.ask(None, "get", "north/projects/").status_code, 401)

    def test_planners_plan_and_viewers_do_not(self):
        for name, status in {"ada": 201, "ben": 201, "eve": 403, "sam": 403, "zoe": 404}.items():
            with self.subTest(name):
                self.assertEqual(self.ask(name, "post", "north/projects/", {"name": name}).status_code, status)
        self.assertEqual({project.name for project in self.mine.team.projects.all()}, {"Harbour", "ada", "ben"})

    def test_role_in_one_team_is_none_in_another(self):
        self.assertEqual(self.ask("ben", "get", "south/projects/").status_code, 200)
        self.assertEqual(self.ask("ben", "post", "south/projects/", {"name": "X"}).status_code, 403)

    def test_only_admins_delete_projects(self):
        address = f"north/projects/{self.mine.pk}/"
        self.assertEqual(self.ask("ben", "delete", address).status_code, 403)
        self.assertEqual(self.ask("ada", "delete", address).status_code, 204)
        self.assertEqual(Project.objects.get(), self.theirs)

    def test_foreign_project_under_own_team_is_missing(self):
        for address in (f"north/projects/{self.theirs.pk}/", f"north/projects/{self.theirs.pk}/tasks/"):
            self.assertEqual(self.ask("ada", "get", address).status_code, 404)

    def test_tasks(self):
        address = f"north/projects/{self.mine.pk}/tasks/"
        made = self.ask("ben", "post", address, {"title": "Draw"})
        self.assertEqual(made.data, {"id": made.data["id"], "title": "Draw", "done": False})

        done = self.ask("ben", "patch", f"{address}{made.data['id']}/", {"done": True})

        self.assertTrue(done.data["done"])
        self.assertEqual([task["title"] for task in self.ask("eve", "get", address).data], ["Measure", "Draw"])
        self.assertEqual(self.ask("eve", "patch", f"{address}{self.task.pk}/", {"done": True}).status_code, 403)

    def test_foreign_task_under_own_project_is_missing(self):
        address = f"north/projects/{self.mine.pk}/tasks/{self.their_task.pk}/"

        self.assertEqual(self.ask("ada", "delete", address).status_code, 404)
        self.assertEqual(Task.objects.count(), 2)


class PageTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        team = make_team("north", ada=["admin"], ben=["planner"], eve=["viewer", "accountant"])
        team.projects.create(name="Harbour", budget=40)
        make_team("south", zoe=["admin"])

    def get(self, name, address):
        if name:
            self.client.force_login(User.objects.get(username=name))
        return self.client.get(address)

    def test_team_page(self):
        page = self.get("eve", "/teams/north/")

        self.assertContains(page, "You may: bill, view")
        self.assertContains(page, "<li>Harbour</li>", html=True)
        self.assertEqual(self.get("zoe", "/teams/north/").status_code, 404)

    def test_team_page_needs_a_login(self):
        self.assertRedirects(self.get(None, "/teams/north/"), "/admin/login/?next=/teams/north/")

    def test_budget_is_for_accountants(self):
        self.assertEqual(self.get("eve", "/teams/north/budget/").json(), {"team": "North", "total": 40})
        for name, status in {"ada": 200, "ben": 403, "zoe": 404}.items():
            self.assertEqual(self.get(name, "/teams/north/budget/").status_code, status)

    def test_budget_needs_a_login(self):
        self.assertEqual(self.get(None, "/teams/north/budget/").status_code, 401)
