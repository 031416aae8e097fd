from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from accounts.views import delete_account

urlpatterns = [
    path("login/", LoginView.as_view(template_name="accounts/login.html"), name="login"),
    path("logout/", LogoutView.as_view(next_page="login"), name="logout"),
    path("delete/", delete_account, name="delete-account"),
]
