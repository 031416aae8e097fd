"""What all pages share: log-in, headers, the organization in the URL, limits and errors."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple
from urllib.parse import unquote_plus

from django import forms
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.core.paginator import Page as RowsPage
from django.core.paginator import Paginator
from django.db import DatabaseError, IntegrityError, router
from django.db.models import ProtectedError, QuerySet, RestrictedError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse, TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.decorators import method_decorator
from django.utils.text import format_lazy
from django.utils.translation import gettext, ngettext_lazy, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from django.views.generic import FormView
from django.views.generic.base import ContextMixin, TemplateResponseMixin, View

from closient_auth.conf import conf
from closient_auth.core.access import Access, resolve_access
from closient_auth.core.callers import get_actor
from closient_auth.core.rates import CHANGE_WINDOWS, count
from closient_auth.core.refusals import Refused
from closient_auth.forms import add_errors
from closient_auth.keys import find_api_keys
from closient_auth.limits.windows import Window
from closient_auth.memberships import Member, get_memberships, read_uuid
from closient_auth.models import LastOwnerError, Organization
from closient_auth.models.actors import Actor
from closient_auth.models.locks import is_deadlock
from closient_auth.models.organizations import SLUG_LENGTH, NotAMemberError, validate_slug
from closient_auth.roles import Permission, Role

PAGE_SIZE = 25
# The switcher names at most this many organizations.
MAX_ORGANIZATIONS = 100


class Tab(NamedTuple):
    """A page in the navigation of an organization. ``permission`` is what its page requires."""

    name: str
    label: Any
    permission: str
    needs_roles: bool = False
    needs_history: bool = False


TABS = (
    Tab("keys", _("API keys"), Permission.MANAGE_API_KEYS),
    Tab("usage", _("Usage"), Permission.MANAGE_API_KEYS, needs_history=True),
    Tab("members", _("Members"), Permission.VIEW_ORGANIZATION, needs_roles=True),
    Tab("invitations", _("Invitations"), Permission.MANAGE_MEMBERS, needs_roles=True),
    Tab("audit", _("Audit log"), Permission.MANAGE_MEMBERS),
    Tab("settings", _("Settings"), Permission.VIEW_ORGANIZATION),
)


# Also in a project without the middleware.
@method_decorator(csrf_protect, name="dispatch")
class Page(TemplateResponseMixin, ContextMixin, View):
    """A page for a signed-in person. ``title`` is its heading, ``tab`` the name of its tab."""

    title: Any = ""
    tab: ClassVar[str] = ""
    # Only the pages of an invitation are open to people without a session.
    needs_login: ClassVar[bool] = True
    # Pages about roles: a project with members of its own (setting ``MEMBERSHIPS``) has pages for them.
    needs_roles: ClassVar[bool] = False
    # Every page shows what somebody has changed a moment ago. These are the methods of HTML forms.
    http_method_names = ["get", "head", "post"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.needs_login and not self.is_signed_in:
            # A key that somebody searches for must not end up in the address of the login as well.
            address = request.path if self.is_key_in_address else request.get_full_path()
            response: HttpResponseBase = redirect_to_login(address)
        else:
            response = self._respond(request, *args, **kwargs)
        protect(response)
        return response

    def _respond(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            # A leaked key must not create its successor.
            if self.actor.api_key is not None:
                raise PermissionDenied(gettext("These pages take no API keys. Sign in."))
            self.enter()
            response = super().dispatch(request, *args, **kwargs)
            # Errors of the template and of what it asks are those of the page.
            return response.render() if isinstance(response, SimpleTemplateResponse) else response
        except (Http404, ObjectDoesNotExist, NotAMemberError):
            # The page is the same for what belongs to others and for what does not exist, or exists no longer since this
            # request began.
            return self.refuse(_("Not found"), gettext("There is no such page, or it is not yours."), 404)
        except PermissionDenied as error:
            return self.refuse(_("Not allowed"), str(error) or gettext("Your role does not allow this."), 403)

    def enter(self) -> None:
        """Raise an error if the user may not see this page."""
        if self.needs_roles and not get_memberships().uses_roles:
            raise Http404

    @property
    def is_signed_in(self) -> bool:
        # Django's ``AllowAllUsersModelBackend`` accepts the session of a deactivated user.
        return bool(self.request.user.is_authenticated and self.request.user.is_active)

    @property
    def is_key_in_address(self) -> bool:
        """Whether the query string has a full key, which somebody has typed into a search."""
        return bool(find_api_keys(unquote_plus(self.request.META["QUERY_STRING"])))

    def refuse(self, title: Any, message: str, status: int) -> HttpResponse:
        """Return a page with a message in the frame of this one."""
        context = ContextMixin.get_context_data(self, **self.get_frame(), title=title, message=message)
        template = "closient_auth/dashboard/refused.html"
        return TemplateResponse(self.request, template, context, status=status).render()

    @cached_property
    def actor(self) -> Actor:
        """The user and the address of the request, for ``by=``."""
        return get_actor(self.request)

    @cached_property
    def members(self) -> list[Member]:
        """The user in each of their organizations, by name."""
        if not self.is_signed_in:
            return []
        found = get_memberships().find(self.request.user, limit=MAX_ORGANIZATIONS)
        return sorted(found, key=lambda member: (member.organization.name.casefold(), member.organization.pk))

    def get_frame(self) -> dict[str, Any]:
        """Return the context of ``base.html``."""
        own = [
            {"organization": row.organization, "name": get_name(row.organization), "role": get_role_name(row.role)}
            for row in self.members
        ]
        return {
            "is_signed_in": self.is_signed_in,
            "own": own,
            "uses_roles": get_memberships().uses_roles,
            "site_name": conf.DASHBOARD_SITE_NAME,
            "docs_url": conf.DASHBOARD_DOCS_URL,
            "tab": self.tab,
            # Templates of the project may be strict about unknown names.
            "organization": None,
            "tabs": [],
            "role": "",
            "is_superuser": False,
        }

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{**self.get_frame(), "title": self.title, **kwargs})

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data())

    def get_url(self, name: str, **kwargs: Any) -> str:
        """Return the address of another page."""
        return reverse(f"closient_dashboard:{name}", kwargs=kwargs, current_app=self.request.resolver_match.namespace)  # type: ignore[union-attr]

    def redirect(self, name: str, message: Any = "", **kwargs: Any) -> HttpResponseRedirect:
        """Return a redirect to another page, which shows the message."""
        if message:
            messages.success(self.request, message)
        return HttpResponseRedirect(self.get_url(name, **kwargs))

    def paginate(self, rows: Any) -> RowsPage[Any]:
        """Return the rows of the page in the query string; the last one for a number that is too high."""
        return Paginator(rows, PAGE_SIZE).get_page(self.request.GET.get("page"))

    def find(self, rows: QuerySet[Any], pk: str) -> Any:
        """Return the row with this id from the primary database. Raise ``Http404`` also for another holder's row."""
        uuid = read_uuid(pk)
        found = rows.using(router.db_for_write(rows.model)).filter(pk=uuid).first() if uuid else None
        if found is None:
            raise Http404
        return found


class OrganizationPage(Page):
    """A page of the organization in the URL, for members with the permission."""

    permission: ClassVar[str] = Permission.VIEW_ORGANIZATION
    access: Access | None = None

    def enter(self) -> None:
        super().enter()
        try:
            access = resolve_access(self.request, self.actor, self.request.user, (self.kwargs["organization"],))
        except Refused as refused:
            if refused.code == "organization_suspended":
                raise PermissionDenied(refused.body["detail"]) from refused
            # The response is the same for a foreign and an unknown organization.
            raise Http404 from refused
        self.access = access
        self.require(self.permission)

    def require(self, permission: str) -> None:
        """Raise ``PermissionDenied`` if the user lacks the permission in the organization."""
        if not self.allows(permission):
            raise PermissionDenied(gettext("Your role does not allow this."))

    def allows(self, permission: str) -> bool:
        """Return whether the user has the permission in the organization."""
        return self.access is not None and self.access.allows(permission)

    @property
    def organization(self) -> Organization:
        # It is known after ``enter()``.
        access: Any = self.access
        organization: Organization = access.organization
        return organization

    @property
    def role(self) -> str | None:
        """The role of the user in the organization; ``None`` for a superuser, or with members of the project's own."""
        roles = (member.role for member in self.members if member.organization.pk == self.organization.pk)
        return next(roles, None)

    @cached_property
    def rank(self) -> str:
        """The role with which the user acts in the organization: a superuser acts as an Owner."""
        return self.organization.get_rank(self.actor, lock=False) or ""

    def get_url(self, name: str, **kwargs: Any) -> str:
        """Return the address of another page, of this organization unless ``organization`` is another one or ``None``."""
        names = {"organization": get_name(self.organization), **kwargs}
        return super().get_url(name, **{key: value for key, value in names.items() if value is not None})

    def get_frame(self) -> dict[str, Any]:
        frame = super().get_frame()
        if self.access is None:
            return frame
        uses_roles, role = get_memberships().uses_roles, self.role
        shown = [
            tab
            for tab in TABS
            if self.allows(tab.permission)
            and (uses_roles or not tab.needs_roles)
            and (conf.USAGE_HISTORY or not tab.needs_history)
        ]
        return {
            **frame,
            "organization": self.organization,
            "organization_name": get_name(self.organization),
            "role": get_role_name(role),
            "is_superuser": self.access.is_superuser and role is None,
            "tabs": [{"name": tab.name, "label": tab.label, "url": self.get_url(tab.name)} for tab in shown],
            "may": {permission.name.lower(): self.allows(permission) for permission in Permission},
        }


class SlugField(forms.CharField):
    """The slug of an organization. ``note`` is what the page adds to the help text."""

    widget = forms.TextInput(attrs={"autocapitalize": "none", "spellcheck": "false"})

    def __init__(self, *, note: Any, **kwargs: Any) -> None:
        text = _("The short name in addresses and in the API: lower-case letters, digits, hyphens and underscores.")
        # Before the validators of the model: the one of ``SlugField`` has another text for the same mistake.
        options = {"label": _("Slug"), "max_length": SLUG_LENGTH, "validators": [validate_slug], **kwargs}
        super().__init__(help_text=format_lazy("{} {}", text, note), **options)


class FormPage(FormView):  # type: ignore[type-arg]
    """Base of the pages with a form. Put ``Page`` or ``OrganizationPage`` behind it."""

    # The kind of change that counts against the limits of the user, which the management API shares; ``""`` for none. Whoever
    # revokes many leaked keys should not have to wait.
    kind: ClassVar[str] = ""
    # The text of the button, and whether the form takes something away.
    # Django's admin has this text without a context, and in German another word than these pages.
    button: Any = pgettext_lazy("button", "Save")
    is_dangerous: ClassVar[bool] = False
    template_name = "closient_auth/dashboard/form.html"
    # Writes what the form says, through a method of a model, and returns the response.
    save: Callable[..., HttpResponseBase]

    def form_valid(self, form: Any) -> Any:
        try:
            self.count_change()
            return self.save(form)
        except LastOwnerError:
            text = _("The organization must keep an active Owner. Make another member an Owner first.")
            form.add_error(None, ValidationError(text, code="last_owner"))
        except (ProtectedError, RestrictedError):
            text = _("This cannot be deleted because other data refers to it.")
            form.add_error(None, ValidationError(text, code="in_use"))
        except ValidationError as error:
            add_errors(form, error)
        except DatabaseError as error:
            if not isinstance(error, IntegrityError) and not is_deadlock(error):
                raise
            text = _("Somebody changed this at the same moment. Look at it again and retry.")
            form.add_error(None, ValidationError(text, code="conflict"))
        return self.form_invalid(form)

    def count_change(self) -> None:
        """Count a change of the user. Raise ``ValidationError`` if there were too many."""
        if not self.kind:
            return
        text = ngettext_lazy("Too many changes. Try again in %d second.", "Too many changes. Try again in %d seconds.")
        require_attempt(f"{self.kind}:{self.request.user.pk}", CHANGE_WINDOWS, text)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{"button": self.button, "is_dangerous": self.is_dangerous, **kwargs})


def get_name(organization: Organization) -> str:
    """Return what the pages' addresses call an organization."""
    return get_memberships().get_slug(organization) or str(organization.pk)


def require_attempt(name: str, windows: Sequence[Window], text: Any) -> None:
    """Count an attempt. Raise ``ValidationError`` with the text for the seconds to wait if there were too many."""
    try:
        verdict = count(name, windows)
    except Refused as refused:
        raise ValidationError(refused.body["detail"], code=refused.code) from refused
    if not verdict.allowed:
        raise ValidationError(text % verdict.tightest.reset, code="throttled")


def get_role_name(role: str | None) -> str:
    """Return the name of a role, or an empty text for a superuser and for members of the project's own."""
    return str(Role(role).label) if role in Role.values else ""


def protect(response: HttpResponseBase) -> None:
    """Set the headers that keep a page out of caches, frames and other sites.

    ``Referrer-Policy: no-referrer`` would make browsers send ``Origin: null`` with a form (Fetch, "append a request Origin
    header"), and Django's protection against CSRF would refuse it.
    """
    add_never_cache_headers(response)
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Referrer-Policy", "same-origin")
    if policy := conf.DASHBOARD_CONTENT_SECURITY_POLICY:
        response.headers.setdefault("Content-Security-Policy", policy)
