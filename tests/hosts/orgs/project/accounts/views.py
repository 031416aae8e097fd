from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from tenancy.models import Organization


@login_required
@require_http_methods(["GET", "POST"])
def delete_account(request):
    """Delete the account of the user. The page asks the owners of organizations to delete these first."""
    if request.method == "POST":
        user = request.user
        logout(request)
        user.delete()
        return redirect("login")
    if Organization.objects.owned_by(request.user).exists():
        messages.error(request, "Delete your organizations before your account.")
        return redirect("organizations")
    return render(request, "accounts/delete.html")
