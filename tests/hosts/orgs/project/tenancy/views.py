from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from tenancy.models import Membership, Organization


class OrganizationForm(forms.ModelForm):
    class Meta:
        model = Organization
        fields = ["name"]


class InvitationForm(forms.ModelForm):
    class Meta:
        model = Membership
        fields = ["email", "role"]


@login_required
@require_http_methods(["GET", "POST"])
def organizations(request):
    form = OrganizationForm(request.POST or None)
    if form.is_valid():
        organization = form.save()
        organization.memberships.create(user=request.user, role=Membership.Role.OWNER, date_joined=timezone.now())
        return redirect("members", organization.name)
    own = Organization.objects.of(request.user)
    return render(request, "tenancy/organizations.html", {"organizations": own, "form": form})


@login_required
@require_http_methods(["GET", "POST"])
def members(request, organization_name):
    organization = get_object_or_404(Organization.objects.of(request.user), name=organization_name)
    form = InvitationForm(request.POST or None)
    if request.method == "POST":
        require_owner(request, organization)
        if form.is_valid():
            form.instance.organization = organization
            form.instance.user = get_user_model().objects.filter(email__iexact=form.instance.email).first()
            form.save()
            return redirect("members", organization.name)
    rows = organization.memberships.select_related("user")
    return render(request, "tenancy/members.html", {"organization": organization, "memberships": rows, "form": form})


@login_required
@require_POST
def accept(request, pk):
    invitation = get_object_or_404(Membership, pk=pk, email__iexact=request.user.email, date_joined=None)
    invitation.user, invitation.date_joined = request.user, timezone.now()
    invitation.save()
    return redirect("members", invitation.organization.name)


@login_required
@require_http_methods(["GET", "POST"])
def delete(request, organization_name):
    organization = get_object_or_404(Organization.objects.of(request.user), name=organization_name)
    require_owner(request, organization)
    if request.method == "POST":
        organization.delete()
        return redirect("organizations")
    return render(request, "tenancy/delete.html", {"organization": organization})


def require_owner(request, organization):
    if not Organization.objects.owned_by(request.user).filter(pk=organization.pk).exists():
        raise PermissionDenied
