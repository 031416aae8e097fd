from uuid import uuid4

from rest_framework.test import APIClient

from accounts.models import User
from tenancy.models import Membership, Organization
from tenancy.tests import OrganizationTestCase
from tracker.models import Project, Report, Tag

URL = "/api/organizations/Acme%20Inc.%20Berlin"


class ApiTests(OrganizationTestCase):
    client_class = APIClient

    def setUp(self):
        super().setUp()
        self.project = Project.objects.create(organization=self.acme, name="shop")
        self.tag = Tag.objects.create(organization=self.acme, name="urgent")
        self.report = Report.objects.create(project=self.project, title="Overflow")
        self.foreign = Project.objects.create(organization=self.other, name="bank")
        self.foreign_tag = Tag.objects.create(organization=self.other, name="secret")

    def tearDown(self):
        super().tearDown()
        self.assertEqual(list(self.other.projects.values_list("name", flat=True)), ["bank"])
        self.assertEqual(list(self.foreign_tag.reports.all()), [])

    def test_own_organizations(self):
        self.assertEqual(
            [row["name"] for row in self.client.get("/api/organizations").data["results"]], [str(self.acme)]
        )

    def test_creator_is_the_owner(self):
        self.assertEqual(self.client.post("/api/organizations", {"name": "New"}).status_code, 201)
        self.assertEqual(Membership.objects.joined().get(organization__name="New").role, "owner")

    def test_anonymous(self):
        self.client.logout()
        for path in ("/api/organizations", f"{URL}/projects"):
            self.assertEqual(self.client.get(path).status_code, 401)

    def test_password(self):
        self.client.logout()
        self.ada.set_password("pass-phrase")
        self.ada.save()
        self.client.credentials(HTTP_AUTHORIZATION="Basic YWRhQGFkdmlzb3JpZXMuZXhhbXBsZTpwYXNzLXBocmFzZQ==")
        self.assertEqual(self.client.get(f"{URL}/projects").status_code, 200)

    def test_projects(self):
        created = self.client.post(f"{URL}/projects", {"name": "site"})
        self.assertEqual(created.status_code, 201)
        self.assertEqual([row["name"] for row in self.client.get(f"{URL}/projects").data["results"]], ["shop", "site"])
        path = f"{URL}/projects/{created.data['id']}"
        self.assertEqual(self.client.patch(path, {"name": "web"}).data["name"], "web")
        self.assertEqual(self.client.delete(path).status_code, 204)

    def test_names_of_projects_are_unique_in_the_organization(self):
        self.assertEqual(self.client.post(f"{URL}/projects", {"name": "shop"}).status_code, 400)
        self.assertEqual(self.client.post(f"{URL}/projects", {"name": "bank"}).status_code, 201)

    def test_members_do_not_delete_projects(self):
        self.client.force_login(self.eli)
        self.assertEqual(self.client.delete(f"{URL}/projects/{self.project.pk}").status_code, 403)
        self.assertEqual(self.client.patch(f"{URL}/projects/{self.project.pk}", {"name": "web"}).status_code, 200)

    def test_reports(self):
        path = f"{URL}/projects/{self.project.pk}/reports"
        created = self.client.post(path, {"title": "Leak", "tags": [str(self.tag.pk)]})
        self.assertEqual((created.status_code, created.data["tags"]), (201, [self.tag.pk]))
        self.assertEqual([row["title"] for row in self.client.get(path).data["results"]], ["Leak", "Overflow"])
        self.assertEqual(self.client.delete(f"{path}/{created.data['id']}").status_code, 204)

    def test_reports_have_tags_of_their_organization(self):
        path = f"{URL}/projects/{self.project.pk}/reports"
        for tag in (self.foreign_tag.pk, uuid4()):
            self.assertEqual(self.client.post(path, {"title": "Leak", "tags": [str(tag)]}).status_code, 400)
        self.assertEqual(list(Report.objects.all()), [self.report])

    def test_tags(self):
        created = self.client.post(f"{URL}/tags", {"name": "later"})
        self.assertEqual([row["name"] for row in self.client.get(f"{URL}/tags").data["results"]], ["later", "urgent"])
        self.assertEqual(self.client.delete(f"{URL}/tags/{created.data['id']}").status_code, 204)

    def test_other_organizations_are_not_found(self):
        foreign = f"projects/{self.foreign.pk}"
        for path in (f"{URL}/{foreign}", f"/api/organizations/Other/{foreign}", "/api/organizations/Other/tags"):
            self.assertEqual(self.client.get(path).status_code, 404)
        self.assertEqual(self.client.delete(f"{URL}/{foreign}").status_code, 404)
        self.assertEqual(self.client.post("/api/organizations/Other/tags", {"name": "x"}).status_code, 404)

    def test_invited_people_are_not_members(self):
        kim = User.objects.create_user("kim@advisories.example")
        invitation = self.acme.memberships.create(user=kim, email=kim.email)
        self.client.force_login(kim)
        self.assertEqual(self.client.get(f"{URL}/projects").status_code, 404)
        self.client.post(f"/organizations/invitations/{invitation.pk}/accept/")
        self.assertEqual(self.client.get(f"{URL}/projects").status_code, 200)

    def test_a_name_that_reads_as_an_id(self):
        named = Organization.objects.create(name=str(uuid4()))
        self.join(named, self.ada, "owner")
        self.assertEqual(self.client.get(f"/api/organizations/{named.name}/projects").status_code, 200)
