from django.urls import path

from tenancy import views

urlpatterns = [
    path("", views.organizations, name="organizations"),
    path("invitations/<uuid:pk>/accept/", views.accept, name="accept-invitation"),
    path("<str:organization_name>/members/", views.members, name="members"),
    path("<str:organization_name>/delete/", views.delete, name="delete-organization"),
]
