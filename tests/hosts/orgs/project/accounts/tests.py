from django.test import TestCase
from django.utils import timezone

from accounts.models import User
from tenancy.models import Organization


class DeleteAccountTests(TestCase):
    def setUp(self):
        self.ada = User.objects.create_user("ada@advisories.example", "pass-phrase")
        self.client.force_login(self.ada)

    def test_page_asks_before_the_deletion(self):
        self.assertContains(self.client.get("/account/delete/"), "Delete ada@advisories.example")
        self.assertTrue(User.objects.filter(pk=self.ada.pk).exists())

    def test_account_is_deleted(self):
        self.assertRedirects(self.client.post("/account/delete/"), "/account/login/")
        self.assertFalse(User.objects.exists())

    def test_page_asks_an_owner_to_delete_the_organizations_first(self):
        acme = Organization.objects.create(name="Acme")
        acme.memberships.create(user=self.ada, role="owner", date_joined=timezone.now())
        self.assertContains(self.client.get("/account/delete/", follow=True), "Delete your organizations before")

    def test_deletion_of_an_owner_keeps_the_organization(self):
        acme = Organization.objects.create(name="Acme")
        acme.memberships.create(user=self.ada, role="owner", date_joined=timezone.now())
        self.assertRedirects(self.client.post("/account/delete/"), "/account/login/")
        self.assertFalse(acme.memberships.exists())
        self.assertTrue(Organization.objects.filter(pk=acme.pk).exists())


class SignInTests(TestCase):
    def test_people_sign_in_with_their_address(self):
        User.objects.create_user("ada@advisories.example", "pass-phrase")
        data = {"username": "ada@advisories.example", "password": "pass-phrase"}
        self.assertRedirects(self.client.post("/account/login/", data), "/organizations/")
