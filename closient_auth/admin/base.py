"""What the admin pages of this package share: the actor of a change, the layout of further pages, and links between pages."""

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import models, router
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from closient_auth.actors import Actor, acting, get_actor
from closient_auth.models import AuditEntry

# The field of a confirmation page, as on Django's own page before a deletion.
CONFIRMED = "post"


def get_staff(request: HttpRequest) -> Actor:
    """Return the actor of a request to the admin. Its site has already checked Django's permissions of the user."""
    return replace(get_actor(request), is_staff=True)


def find_list(site: admin.AdminSite, request: HttpRequest, model: type[models.Model], **filters: object) -> str | None:
    """Return the address of a list of rows with these filters, or ``None`` if the user may not view the list."""
    # A project can remove the pages of a model.
    if not site.is_registered(model) or not site.get_model_admin(model).has_view_or_change_permission(request):
        return None
    return f"{_reverse(site, model, 'changelist')}?{urlencode(filters)}"


def _reverse(site: admin.AdminSite, model: type[models.Model], page: str, *args: Any) -> str:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"
    return reverse(name, args=args, current_app=site.name)


class LinkedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Read from the primary database instead of a replica, add pages, and link to other pages that the user may view."""

    class Media:
        css = {"all": ["closient_auth/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).using(router.db_for_write(self.model))

    def find_list(self, request: HttpRequest, model: type[models.Model], **filters: object) -> str | None:
        """Return the address of a list of rows with these filters, or ``None`` if the user may not view the list."""
        return find_list(self.admin_site, request, model, **filters)

    def find_page(self, request: HttpRequest, row: models.Model) -> str | None:
        """Return the address of the page of a row, or ``None`` if the user may not view the page."""
        model = type(row)
        if not self.admin_site.is_registered(model):
            return None
        if not self.admin_site.get_model_admin(model).has_view_or_change_permission(request, row):
            return None
        return self._reverse(model, "change", row.pk)

    def reverse_page(self, page: str, *args: Any) -> str:
        """Return the address of a page of this model."""
        return self._reverse(self.model, page, *args)

    def redirect_to_row(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """Redirect to the page of a row. The page keeps the filters of the list that led there."""
        return HttpResponseRedirect(self._keep_filters(request, self.reverse_page("change", pk)))

    def get_changeable(self, request: HttpRequest, object_id: str) -> Any:
        """Return the row with this id. Raise ``PermissionDenied`` if the user may not change it, or ``Http404``."""
        row = self.get_object(request, unquote(object_id))
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        return self._require(row)

    def get_row(self, request: HttpRequest, object_id: str) -> Any:
        """Return the row with this id, or raise ``Http404``. The caller has checked the permissions."""
        return self._require(self.get_object(request, unquote(object_id)))

    def _require(self, row: Any) -> Any:
        if row is None:
            raise Http404
        return row

    def render_page(
        self, request: HttpRequest, template: str, title: Any, status: int = 200, **context: Any
    ) -> HttpResponse:
        """Render a page of this package in the layout of the admin."""
        request.current_app = self.admin_site.name
        # Django's template shows ``original`` as the last breadcrumb.
        context = {"media": self.media, **self.admin_site.each_context(request), **context}
        context |= {"title": title, "original": title, "opts": self.opts}
        context |= {"has_view_permission": self.has_view_or_change_permission(request)}
        context |= {"preserved_filters": self.get_preserved_filters(request)}
        return TemplateResponse(request, f"admin/closient_auth/{template}.html", context, status=status)

    def render_confirmation(
        self, request: HttpRequest, template: str, title: Any, row: models.Model, **context: Any
    ) -> HttpResponse:
        """Render a page that asks before a change of a row."""
        back = self._keep_filters(request, self.reverse_page("change", row.pk))
        return self.render_page(request, template, title, **{"cancel_url": back, **context})

    def _keep_filters(self, request: HttpRequest, address: str) -> str:
        filters: dict[str, Any] = {"opts": self.opts, "preserved_filters": self.get_preserved_filters(request)}
        return add_preserved_filters(filters, address)

    def _reverse(self, model: type[models.Model], page: str, *args: Any) -> str:
        return _reverse(self.admin_site, model, page, *args)


class AuditedAdmin(LinkedAdmin):
    """Record changes with the staff user as the actor, and link to the audit entries of a row."""

    # The filter of the list of audit entries that finds those of a row.
    trail_filter: str

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with acting(get_actor(request)):
            return super().changeform_view(request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with acting(get_actor(request)):
            return super().delete_view(request, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with acting(get_actor(request)):
            return super().changelist_view(request, *args, **kwargs)

    def get_tools(self, request: HttpRequest, row: Any) -> list[tuple[Any, str | None]]:
        """Return the labels and addresses of the links above the page of a row. A link without an address is left out."""
        return []

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if (row := context["original"]) is not None:
            context["tools"] = [(label, address) for label, address in self.get_tools(request, row) if address]
            context["trail_url"] = self.find_list(request, AuditEntry, **{self.trail_filter: row.pk})
        return super().render_change_form(request, context, *args, **kwargs)
