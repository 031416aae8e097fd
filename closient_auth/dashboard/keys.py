"""The pages about the keys of an organization."""

from copy import copy
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError, router
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from closient_auth.conf import conf
from closient_auth.core.rates import DAY, MINUTE, get_windows
from closient_auth.dashboard.frame import FormPage
from closient_auth.dashboard.holders import HolderPage, OrganizationKeys
from closient_auth.dashboard.key_forms import (
    FilterForm,
    KeyForm,
    LeakedForm,
    RevocationForm,
    RotationForm,
    get_hygiene,
)
from closient_auth.dashboard.usage import read_limits
from closient_auth.forms import get_permission_label, get_pk
from closient_auth.keys import hash_api_key
from closient_auth.models import ApiKey, AuditEntry
from closient_auth.models.api_keys import KeyState
from closient_auth.models.audit import Event
from closient_auth.models.people import get_person_name
from closient_auth.plots import MONTH, RANGES, draw_range, draw_sparkline, get_range, read_range
from closient_auth.roles import KEY_RULES
from closient_auth.sentences import describe, get_actor_name

# A key that was used this long ago is perhaps in use.
IN_USE = timedelta(days=1)
ENTRIES = 5


class Secret:
    """A raw key for a template. Its ``repr()`` hides the key, as error reports show the variables of templates."""

    def __init__(self, api_key: Any) -> None:
        self._api_key = api_key

    def __str__(self) -> str:
        return str(self._api_key.raw_key)


class KeyListPage(HolderPage):
    """The keys of a holder."""

    template_name = "closient_auth/dashboard/keys.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.is_key_in_address:
            text = _(
                "Do not search for a full key: it ends up in server logs and browser histories. Enter it here instead."
            )
            messages.warning(request, text)
            return HttpResponseRedirect(self.get_key_url("leaked"))
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now = timezone.now()
        filters = FilterForm(self.request.GET, types=self.key_types)
        rows = self.paginate(filters.filter(self.get_keys(), now))
        # The history of a family is that of its newest key.
        families = {api_key.pk: api_key.family for api_key in rows if not hasattr(api_key, "successor")}
        histories = read_range(families.values(), MONTH) if conf.USAGE_HISTORY else {}
        sparklines = {pk: draw_sparkline(histories[family]) for pk, family in families.items() if histories}
        rows.object_list = [
            {
                **self.describe(api_key, now),
                "is_public": KEY_RULES[api_key.prefix].is_public,
                "sparkline": sparklines.get(api_key.pk),
            }
            for api_key in rows
        ]
        hygiene = self.get_keys().active().select_related(None).order_by()
        counts = hygiene.aggregate(**{name: Count("pk", filter=where) for name, where in get_hygiene(now).items()})
        context = {"rows": rows, "filters": filters, "counts": counts, "has_history": conf.USAGE_HISTORY}
        return super().get_context_data(**context, **kwargs)


class KeyFormPage(FormPage, HolderPage):
    """Base of the pages with ``KeyForm``."""

    kind = "api_key"
    form_class = KeyForm

    def get_form(self, form_class: Any = None, *, api_key: ApiKey | None = None) -> KeyForm:
        return KeyForm(
            self.request.POST if self.request.method == "POST" else None,
            types=self.key_types,
            grantable=self.get_grantable(),
            organizations=self.get_organizations(),
            api_key=api_key,
        )


class SecretPage(FormPage, HolderPage):
    """Base of the pages that create a key. Only the response to the form shows the raw key."""

    kind = "api_key"

    @sensitive_variables()
    def show_secret(self, api_key: Any, title: Any, **context: Any) -> HttpResponse:
        """Return the page with the raw key of a new key, which is its attribute ``raw_key``."""
        windows = {window.period: window.limit for window in get_windows(api_key)}
        return self.show_result(
            api_key,
            title,
            secret=Secret(api_key),
            per_minute=windows.get(MINUTE),
            per_day=windows.get(DAY),
            header=conf.HEADER,
            example_url=self.request.build_absolute_uri(_find_example()),
            **context,
        )

    def show_result(self, api_key: ApiKey, title: Any, status: int = 200, **context: Any) -> HttpResponse:
        """Return the page about the key that the form has created, now or before."""
        context = {**self.describe(api_key, timezone.now()), "title": title, "form": None, **context}
        context["rotate_url"] = self.get_key_url("key-rotate", api_key)
        context["may_rotate"] = api_key.state == KeyState.ACTIVE and not hasattr(api_key, "successor")
        template = "closient_auth/dashboard/key_created.html"
        return TemplateResponse(self.request, template, self.get_context_data(**context), status=status)


class KeyCreationPage(SecretPage, KeyFormPage):
    title = _("Create an API key")
    button = _("Create key")
    template_name = "closient_auth/dashboard/key_new.html"

    @sensitive_variables()
    def save(self, form: Any) -> HttpResponseBase:
        pk = get_pk(self.request.user, self.request.POST)
        values = {**self.get_holder(), **form.get_values(), "id": pk, "by": self.actor}
        if values["expires_at"] is ...:
            del values["expires_at"]
        try:
            # An attribute is not part of the ``repr()`` of the key, so error reports do not show the raw key.
            api_key, vars(api_key)["raw_key"] = ApiKey.objects.create_key(**values)
        except (IntegrityError, ValidationError):
            # With the limit of active keys, a repeated form has another error than that of the duplicate key.
            found = self.get_keys().filter(pk=pk).first()
            if found is None:
                raise
            return self.show_result(found, _("This key was created already"), status=409, is_repeated=True)
        return self.show_secret(api_key, gettext("%s was created") % _get_name(api_key))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{"cancel_url": self.get_key_url("keys"), **kwargs})


class KeyPage(KeyFormPage):
    """A key: its usage, its fields and its last changes."""

    button = _("Save changes")
    template_name = "closient_auth/dashboard/key.html"

    def get_form(self, form_class: Any = None, **kwargs: Any) -> KeyForm:
        return super().get_form(form_class, api_key=self.api_key)

    def save(self, form: Any) -> HttpResponseBase:
        # The copy keeps ``api_key`` as it is stored, for the page with the error.
        copy(self.api_key).change(**form.get_changes(), by=self.actor)
        messages.success(self.request, _("The changes are saved."))
        return HttpResponseRedirect(self.get_key_url("key", self.api_key))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        api_key, now = self.api_key, timezone.now()
        links = {name: self.get_key_url(f"key-{name}", api_key) for name in ("rotate", "revoke")}
        context = {
            **self.describe(api_key, now),
            "title": _get_name(api_key),
            "maker": get_person_name(api_key.created_by) if api_key.created_by else "",
            "links": links,
            "is_active": api_key.state == KeyState.ACTIVE,
            "is_public": KEY_RULES[api_key.prefix].is_public,
            "successor": getattr(api_key, "successor", None),
            "limits": read_limits(api_key),
            "lost": self._get_lost(),
            "reach": self.get_reach(api_key),
            **self._get_history(),
            **self._get_activity(),
        }
        for name in ("rotated_from", "successor"):
            other = context["successor"] if name == "successor" else api_key.rotated_from
            context[f"{name}_url"] = self.get_key_url("key", other) if other else ""
        return super().get_context_data(**context, **kwargs)

    def _get_lost(self) -> list[str]:
        """Return what the key may do and the user may not: a change takes it away."""
        get_all = KEY_RULES[self.api_key.prefix].get_permissions
        if get_all is None:
            return []
        organization: Any = self.api_key.organization
        may = self.api_key.narrow(get_all(), organization)
        return [get_permission_label(name) for name in sorted(may - {*self.get_grantable()})]

    def _get_history(self) -> dict[str, Any]:
        if not conf.USAGE_HISTORY:
            return {"plot": None}
        choice = get_range(self.request.GET)
        family = self.api_key.family
        month = read_range([family], MONTH)[family]
        points = month if choice is MONTH else read_range([family], choice)[family]
        refused = sum(point.refused for point in month)
        return {"plot": draw_range(points, choice), "refused": refused, "ranges": RANGES, "range": choice}

    def _get_activity(self) -> dict[str, Any]:
        audit_url = self.get_audit_url(self.api_key)
        if audit_url is None:
            return {"entries": None, "revocation": None}
        found = AuditEntry.objects.using(router.db_for_write(AuditEntry)).filter(
            organization_id=self.api_key.organization_id, target_id=self.api_key.pk
        )
        entries = [*found.select_related("user").order_by("-created_at", "pk")[:ENTRIES]]
        revocation = next((entry for entry in entries if entry.event == Event.API_KEY_REVOKED), None)
        return {
            "entries": [{"entry": entry, "sentence": describe(entry)} for entry in entries],
            "audit_url": audit_url,
            "revocation": revocation,
            "revoked_by": get_actor_name(revocation) if revocation else "",
        }


class KeyRotationPage(SecretPage):
    title = _("Rotate the key")
    button = _("Rotate")
    template_name = "closient_auth/dashboard/key_rotate.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        text: Any = ""
        if hasattr(self.api_key, "successor"):
            text = _("This key has already been rotated.")
        elif self.api_key.state != KeyState.ACTIVE:
            text = _("Only an active key can be rotated.")
        if not text:
            return super().get(request, *args, **kwargs)
        messages.warning(request, text)
        return HttpResponseRedirect(self.get_key_url("key", self.api_key))

    def get_form(self, form_class: Any = None) -> RotationForm:
        return RotationForm(self.request.POST if self.request.method == "POST" else None, api_key=self.api_key)

    @sensitive_variables()
    def save(self, form: Any) -> HttpResponseBase:
        grace, expires_at = form.cleaned_data["grace"], form.cleaned_data["expires_at"]
        try:
            # The copy keeps ``api_key`` as it is stored, if the rotation fails.
            successor, vars(successor)["raw_key"] = copy(self.api_key).rotate(
                by=self.actor, grace=grace, expires_at=expires_at
            )
        except ValidationError:
            found = self.get_keys().filter(rotated_from=self.api_key.pk).first()
            if found is None:
                raise
            title = _("This key was rotated already")
            return self.show_result(found, title, status=409, is_repeated=True, **self._describe_old(self.api_key))
        return self.show_secret(
            successor, gettext("%s has a new key") % _get_name(successor), **self._describe_old(successor.rotated_from)
        )

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        shown = self.describe(self.api_key, timezone.now())
        return super().get_context_data(**{**shown, "cancel_url": shown["url"], **kwargs})

    def _describe_old(self, api_key: Any) -> dict[str, Any]:
        is_active = api_key.state == KeyState.ACTIVE
        return {"old_key": api_key, "end_url": self.get_key_url("key-revoke", api_key) if is_active else ""}


class KeyRevocationPage(FormPage, HolderPage):
    title = _("Revoke the key")
    button = _("Revoke")
    is_dangerous = True
    template_name = "closient_auth/dashboard/key_revoke.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.api_key.is_active:
            return super().get(request, *args, **kwargs)
        return self._leave()

    def get_form(self, form_class: Any = None) -> RevocationForm:
        used = self.api_key.last_used
        is_used = used is not None and used > timezone.now() - IN_USE
        return RevocationForm(self.request.POST if self.request.method == "POST" else None, is_used=is_used)

    def save(self, form: Any) -> HttpResponseBase:
        self.api_key.revoke(by=self.actor)
        return self._leave()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        shown = self.describe(self.api_key, timezone.now())
        return super().get_context_data(**shown, cancel_url=shown["url"], **kwargs)

    def _leave(self) -> HttpResponseRedirect:
        messages.success(self.request, gettext("The key %s is revoked. Requests with it are refused.") % self.api_key)
        return HttpResponseRedirect(self.get_key_url("keys"))


class LeakedKeyPage(HolderPage):
    """Find a key of the holder by the key itself, which is in no URL and no log."""

    title = _("Found a leaked key?")
    template_name = "closient_auth/dashboard/leaked.html"

    @method_decorator(sensitive_post_parameters("api_key"))
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # The search for the user and the organization may fail, so the key leaves the request before.
        self.form = LeakedForm(request.POST if request.method == "POST" else None)
        self.hashed_key = hash_api_key(self.form.cleaned_data.pop("api_key")) if self.form.is_valid() else None
        # With ``DEBUG``, Django's error page shows all POST data, even if sensitive. Without Django's middleware,
        # ``csrf_protect()`` has not yet seen its token.
        token = str(request.POST.get("csrfmiddlewaretoken", ""))
        request.POST, self.form.data = QueryDict(urlencode({"csrfmiddlewaretoken": token})), QueryDict()
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        found = self.get_keys().filter(hashed_key=self.hashed_key).first() if self.hashed_key else None
        if found is None:
            if self.hashed_key is not None:
                self.form.add_error("api_key", _("This is none of the keys here."))
            return self.render_to_response(self.get_context_data())
        context = {**self.describe(found, timezone.now()), "is_active": found.state == KeyState.ACTIVE}
        links = {name: self.get_key_url(f"key-{name}", found) for name in ("rotate", "revoke")}
        self.form = LeakedForm()
        return self.render_to_response(self.get_context_data(found=found, links=links, **context))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{"form": self.form, "found": None, **kwargs})


class KeysPage(KeyListPage, OrganizationKeys):
    title = _("API keys")


class KeyNew(KeyCreationPage, OrganizationKeys):
    pass


class Key(KeyPage, OrganizationKeys):
    pass


class KeyRotate(KeyRotationPage, OrganizationKeys):
    pass


class KeyRevoke(KeyRevocationPage, OrganizationKeys):
    pass


class Leaked(LeakedKeyPage, OrganizationKeys):
    pass


def _get_name(api_key: ApiKey) -> str:
    return api_key.name or gettext("No name")


def _find_example() -> str:
    """Return a path for an example of a request: that of this package's ``me``, if the project has it."""
    try:
        return reverse("closient_auth:me")
    except NoReverseMatch:
        return "/"
