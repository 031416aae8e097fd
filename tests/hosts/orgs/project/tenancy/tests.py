from django.test import TestCase
from django.utils import timezone

from accounts.models import User
from tenancy.models import Membership, Organization


class OrganizationTestCase(TestCase):
    def setUp(self):
        self.ada = User.objects.create_user("ada@advisories.example")
        self.eli = User.objects.create_user("eli@advisories.example")
        self.acme = Organization.objects.create(name="Acme Inc. Berlin")
        self.join(self.acme, self.ada, "owner")
        self.join(self.acme, self.eli, "member")
        self.other = Organization.objects.create(name="Other")
        self.client.force_login(self.ada)

    def join(self, organization, user, role):
        return organization.memberships.create(user=user, role=role, date_joined=timezone.now())

    def tearDown(self):
        self.assertTrue(Organization.objects.filter(pk=self.other.pk, name="Other").exists())


class PageTests(OrganizationTestCase):
    def test_list_has_the_joined_organizations(self):
        self.other.memberships.create(user=self.ada, email=self.ada.email)
        self.assertEqual(list(self.client.get("/organizations/").context["organizations"]), [self.acme])

    def test_creator_is_the_owner(self):
        self.assertRedirects(self.client.post("/organizations/", {"name": "New"}), "/organizations/New/members/")
        self.assertEqual(
            list(Organization.objects.owned_by(self.ada).values_list("name", flat=True)), [str(self.acme), "New"]
        )

    def test_names_are_unique(self):
        self.assertContains(self.client.post("/organizations/", {"name": "Other"}), "already exists")

    def test_owner_invites_and_the_person_accepts(self):
        kim = User.objects.create_user("kim@advisories.example")
        page = "/organizations/Acme%20Inc.%20Berlin/members/"
        self.assertRedirects(self.client.post(page, {"email": "Kim@advisories.example", "role": "member"}), page)
        invitation = self.acme.memberships.get(user=kim, date_joined=None)

        self.client.force_login(kim)
        self.assertEqual(self.client.get(page).status_code, 404)
        self.assertRedirects(self.client.post(f"/organizations/invitations/{invitation.pk}/accept/"), page)

    def test_invitation_is_for_its_address(self):
        invitation = self.acme.memberships.create(email="kim@advisories.example")
        path = f"/organizations/invitations/{invitation.pk}/accept/"
        self.assertEqual(self.client.post(path).status_code, 404)
        self.assertEqual(self.acme.memberships.joined().count(), 2)

    def test_member_does_not_invite(self):
        self.client.force_login(self.eli)
        page = "/organizations/Acme%20Inc.%20Berlin/members/"
        self.assertEqual(self.client.post(page, {"email": "x@advisories.example", "role": "owner"}).status_code, 403)
        self.assertEqual(self.acme.memberships.count(), 2)

    def test_owner_deletes_the_organization(self):
        page = "/organizations/Acme%20Inc.%20Berlin/delete/"
        self.assertContains(self.client.get(page), "Delete Acme Inc. Berlin")
        self.assertRedirects(self.client.post(page), "/organizations/")
        self.assertFalse(Organization.objects.filter(pk=self.acme.pk).exists())

    def test_member_does_not_delete_the_organization(self):
        self.client.force_login(self.eli)
        self.assertEqual(self.client.post("/organizations/Acme%20Inc.%20Berlin/delete/").status_code, 403)
        self.assertEqual(self.client.post("/organizations/Other/delete/").status_code, 404)
        self.assertTrue(Organization.objects.filter(pk=self.acme.pk).exists())


class AdminTests(OrganizationTestCase):
    def setUp(self):
        super().setUp()
        self.client.force_login(User.objects.create_superuser("root@advisories.example"))

    def change(self, **roles):
        """Send the form of the organization with these roles of ada and eli."""
        data = {"name": self.acme.name, "memberships-TOTAL_FORMS": len(roles), "memberships-INITIAL_FORMS": len(roles)}
        for number, (name, role) in enumerate(roles.items()):
            row = self.acme.memberships.get(user=getattr(self, name))
            values = {
                "id": row.pk,
                "organization": self.acme.pk,
                "user": row.user_id,
                "role": role,
                "date_joined_0": row.date_joined.date(),
                "date_joined_1": row.date_joined.time(),
            }
            data |= {f"memberships-{number}-{field}": value for field, value in values.items()}
        return self.client.post(f"/admin/tenancy/organization/{self.acme.pk}/change/", data)

    def get_roles(self):
        return dict(self.acme.memberships.values_list("user__email", "role"))

    def test_owner_is_swapped_in_one_form(self):
        self.assertRedirects(self.change(ada="member", eli="owner"), "/admin/tenancy/organization/")
        self.assertEqual(self.get_roles(), {self.ada.email: "member", self.eli.email: "owner"})

    def test_last_owner_is_demoted(self):
        self.assertRedirects(self.change(ada="member", eli="member"), "/admin/tenancy/organization/")
        self.assertEqual(self.get_roles(), {self.ada.email: "member", self.eli.email: "member"})

    def test_last_owner_is_deleted(self):
        path = f"/admin/accounts/user/{self.ada.pk}/delete/"
        self.assertRedirects(self.client.post(path, {"post": "yes"}), "/admin/accounts/user/")
        self.assertEqual(self.get_roles(), {self.eli.email: "member"})

    def test_organization_is_deleted(self):
        path = f"/admin/tenancy/organization/{self.acme.pk}/delete/"
        self.assertRedirects(self.client.post(path, {"post": "yes"}), "/admin/tenancy/organization/")
        self.assertFalse(Membership.objects.exists())
