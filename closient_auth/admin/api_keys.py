import re
from collections.abc import Iterable
from copy import copy
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, AdminForm
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, models, router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters

from closient_auth.actors import Actor, acting, get_actor
from closient_auth.admin.base import CONFIRMED, get_staff
from closient_auth.admin.filters import LifetimeFilter, MakerFilter, OrganizationFilter, ReviewFilter, StateFilter
from closient_auth.admin.forms import ApiKeyCreationForm, ApiKeyForm, ExpiryWidget, FindApiKeyForm, RotationForm
from closient_auth.admin.key_columns import KeyColumns
from closient_auth.admin.limits import describe_limits
from closient_auth.conf import conf
from closient_auth.forms import LinesField, PermissionsField, add_errors, get_pk
from closient_auth.keys import HINT_LENGTH, KeyType, find_api_keys, hash_api_key
from closient_auth.memberships import read_uuid
from closient_auth.models import ApiKey
from closient_auth.models.api_keys import ApiKeyQuerySet, KeyState
from closient_auth.models.restrictions import RESTRICTIONS
from closient_auth.plots import MONTH, draw_range, read_range
from closient_auth.roles import KEY_RULES, KeyHolder, get_key_types

# A page that asks before a revocation lists at most this many keys.
LISTED_KEYS = 100
LIMITS = ["expires_at", "rate_limit_per_minute", "rate_limit_per_day"]
FORM_FIELDS = {"permissions": PermissionsField, "allowed_networks": LinesField, "allowed_origins": LinesField}
HOLDERS = {KeyHolder.ORGANIZATION: _("For an organization"), KeyHolder.USER: _("For a person")}
# By restriction: how the page shows it to staff who may not change it.
SHOWN = {name: f"shown_{name.removeprefix('allowed_')}" for name in FORM_FIELDS}
# The attribute of a request with the error of a form that was valid, but could not be saved.
REFUSAL = "_closient_auth_refusal"
# This matches a key as shown on the pages, or the beginning of a key.
SHOWN_KEY = re.compile(rf"(?<!\S)(?:{'|'.join(KeyType.values)})_([A-Za-z0-9]{{1,{HINT_LENGTH}}})\S*")


@admin.register(ApiKey)
class ApiKeyAdmin(KeyColumns):
    list_display = ["label", "key_and_type", "holder", "state", "used", "expiry"]
    list_filter = [StateFilter, ReviewFilter, "prefix", LifetimeFilter, OrganizationFilter, MakerFilter]
    ordering = ["-created_at"]
    search_help_text = _(
        "Search by name, first characters, organization or user. To look up a full key, use “Find a leaked API key”."
    )
    autocomplete_fields = ["organization", "restricted_to"]
    raw_id_fields = ["user"]
    actions = ["revoke_selected"]
    formfield_overrides = {models.DateTimeField: {"form_class": forms.SplitDateTimeField, "widget": ExpiryWidget}}
    trail_filter = "row"

    class Media:
        css = {"all": ["closient_auth/plots.css"]}

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).with_holders().select_related("rotated_from", "successor")

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        username = get_user_model().USERNAME_FIELD
        return ["name", "hint", "organization__name", "organization__slug", f"user__{username}"]

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[ApiKey], search_term: str) -> Any:
        return super().get_search_results(request, queryset, SHOWN_KEY.sub(r"\1", search_term))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # Lookups such as ``?hashed_key__startswith=`` would reveal the hash digit by digit.
        return not lookup.startswith("hashed_key") and super().lookup_allowed(lookup, value, request)

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> list[Any]:
        if obj is None:
            holder = _read_holder(request)
            # A value that does not fit must be an error. Without its field, the form would ignore it.
            holders = [name.value for name in HOLDERS if name == holder or request.POST.get(name)]
            main = ["nonce", *holders, "prefix", "name", "description"]
            key_types = get_key_types(holder)
            restrictions = [name for name in RESTRICTIONS if _applies(key_types, name) or request.POST.get(name)]
            return [
                (None, {"fields": main, "description": _link_holders(request, holder)}),
                (_("Limits"), {"fields": LIMITS}),
                (_("Restrictions"), {"fields": restrictions}),
            ]
        restrictions = [name for name in RESTRICTIONS if _has_restriction(obj, name)]
        if not self.has_change_permission(request, obj):
            restrictions = [SHOWN.get(name, name) for name in restrictions]
        if obj.shut_out_of != []:
            restrictions.append("shut_out")
        main = ["masked_key", "prefix", KEY_RULES[obj.prefix].holder, "state", "shown_use", "name", "description"]
        history = ["id", "created_at", "created_by", "rotated_from", "rotated_to"]
        return [
            (None, {"fields": main}),
            (_("Limits"), {"fields": LIMITS}),
            (_("Restrictions"), {"fields": restrictions}),
            (_("History"), {"fields": history}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        names = ["id", "masked_key", "prefix", "organization", "user", "state", "shown_use", "created_at", "created_by"]
        return [] if obj is None else [*names, "rotated_from", "rotated_to", "shut_out", *SHOWN.values()]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if form_field := FORM_FIELDS.get(db_field.name):
            label = capfirst(db_field.verbose_name)
            return form_field(required=False, label=label, help_text=kwargs.get("help_text", ""))
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_form(self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any) -> Any:
        base = kwargs.setdefault("form", ApiKeyCreationForm if obj is None else ApiKeyForm)
        holder = _read_holder(request)
        texts = describe_limits(get_key_types(holder) if obj is None else [obj.prefix])
        kwargs.setdefault("help_texts", {**base.Meta.help_texts, **texts})
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.refusal, form.holder = getattr(request, REFUSAL, None), holder
        return form

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        # If a replica lacked the organization of ``restricted_to``, the form would be empty there, and remove it.
        kwargs["using"] = router.db_for_write(db_field.related_model)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        # A revoked key stays as a record of its holder. Only a cascade deletes keys; Django passes each key as ``obj``.
        return obj is not None and super().has_delete_permission(request, obj)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        raise PermissionDenied

    def get_urls(self) -> list[URLPattern]:
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        view = self.admin_site.admin_view
        return [
            path("find/", view(self.find_view), name=f"{prefix}_find"),
            path("<path:object_id>/revoke/", view(self.revoke_view), name=f"{prefix}_revoke"),
            path("<path:object_id>/rotate/", view(self.rotate_view), name=f"{prefix}_rotate"),
            *super().get_urls(),
        ]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        buttons = {"show_delete": False}
        if object_id is None:
            # The response shows the new key, and the other buttons would redirect to another page.
            buttons |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        try:
            return super().changeform_view(request, object_id, form_url, {**buttons, **(extra_context or {})})
        except ValidationError as error:
            # The form was valid, but the key was rotated before it was saved, or staff may not grant that much. All is rolled
            # back. Show the form again, with the error.
            setattr(request, REFUSAL, error)
            return super().changeform_view(request, object_id, form_url, {**buttons, **(extra_context or {})})
        except IntegrityError:
            api_key = self.get_queryset(request).filter(pk=get_pk(request.user, request.POST)).first()
            if api_key is None:
                raise
            return self._render_created(request, api_key, _("API key already created"), status=409)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        api_key = context["original"]
        if api_key is not None and self._may_rotate(request, api_key):
            context["show_rotate"] = api_key.state == KeyState.ACTIVE and not hasattr(api_key, "successor")
        if api_key is not None and conf.USAGE_HISTORY:
            context["plot"] = draw_range(read_range([api_key.family], MONTH)[api_key.family], MONTH)
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            # Write only the changed fields, to keep concurrent changes of the others.
            values = {name: form.cleaned_data[name] for name in form.changed_data}
            try:
                obj.change(by=self._get_limited(request, obj), **values)
            except PermissionDenied as error:
                raise ValidationError(str(error), code="permission_denied") from error
            return
        values = {name: value for name, value in form.cleaned_data.items() if name != "nonce"}
        user: Any = request.user
        api_key, raw_key = ApiKey.objects.create_key(**values, created_by=user, id=get_pk(user, request.POST))
        # Django's views continue with ``obj``. As its attribute, the raw key is not part of any ``repr()`` on the way to
        # the template.
        vars(obj).update(vars(api_key), raw_key=raw_key)

    def _get_limited(self, request: HttpRequest, api_key: ApiKey) -> Actor | None:
        """Return the actor whose permissions limit what this form can grant, or ``None`` for no limit."""
        # Staff who may add keys can grant everything to a new one. The role of its user limits each user key.
        is_limited = api_key.organization_id is not None and not self.has_add_permission(request)
        return get_staff(request) if is_limited else None

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        return self._render_created(request, obj, _("API key created"))

    def _render_created(
        self, request: HttpRequest, api_key: ApiKey, title: Any, status: int = 200, old_key: ApiKey | None = None
    ) -> HttpResponse:
        context: dict[str, Any] = {"may_view": self.has_view_or_change_permission(request, api_key), "old_key": old_key}
        context |= {"header": conf.HEADER}
        return self.render_page(request, "apikey/created", title, status, api_key=api_key, **context)

    @admin.action(permissions=["change"], description=_("Revoke selected %(verbose_name_plural)s"))
    def revoke_selected(self, request: HttpRequest, queryset: ApiKeyQuerySet) -> HttpResponse | None:
        if request.POST.get(CONFIRMED):
            if ids := request.POST.get("keys"):
                # Other keys may match the filters of the list by now.
                queryset = queryset.filter(pk__in=[uuid for text in ids.split(",") if (uuid := read_uuid(text))])
            self._revoke(request, queryset)
            return None
        api_keys = list(queryset.filter(is_active=True))
        if not api_keys:
            self._revoke(request, queryset.none())
            return None
        # One field names all keys: Django refuses a request with more than a thousand fields.
        fields = {"action": "revoke_selected", ACTION_CHECKBOX_NAME: api_keys[0].pk, "select_across": 1}
        fields["keys"] = ",".join(str(api_key.pk) for api_key in api_keys)
        return self._ask_to_revoke(request, api_keys, fields, cancel_url=request.get_full_path())

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask before a revocation, and revoke the key if the request is a confirmed POST."""
        api_key = self.get_changeable(request, object_id)
        if api_key.is_active and not (request.method == "POST" and request.POST.get(CONFIRMED)):
            return self._ask_to_revoke(request, [api_key], {})
        self._revoke(request, self.get_queryset(request).filter(pk=api_key.pk))
        return self.redirect_to_row(request, api_key.pk)

    def _ask_to_revoke(
        self, request: HttpRequest, api_keys: list[ApiKey], fields: dict[str, Any], **context: Any
    ) -> HttpResponse:
        context |= {"rows": [self.describe(api_key) for api_key in api_keys[:LISTED_KEYS]], "count": len(api_keys)}
        context |= {"unlisted": max(len(api_keys) - LISTED_KEYS, 0), "fields": {CONFIRMED: "yes", **fields}}
        title = ngettext("Revoke API key", "Revoke API keys", len(api_keys))
        return self.render_confirmation(request, "apikey/revoke", title, api_keys[0], **context)

    def _revoke(self, request: HttpRequest, queryset: ApiKeyQuerySet) -> None:
        staff: Any = request.user
        with acting(get_actor(request)), transaction.atomic(using=router.db_for_write(ApiKey)):
            revoked = list(queryset.filter(is_active=True))
            queryset.revoke()
            LogEntry.objects.log_actions(staff.pk, revoked, CHANGE, gettext("Revoked."))
        if len(revoked) == 1:
            self.message_user(request, _("API key %s was revoked.") % revoked[0], messages.SUCCESS)
        elif revoked:
            message = ngettext("%d API key was revoked.", "%d API keys were revoked.", len(revoked)) % len(revoked)
            self.message_user(request, message, messages.SUCCESS)
        else:
            self.message_user(request, _("There is no active API key to revoke."), messages.WARNING)

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        api_key = self.get_changeable(request, object_id)
        if not self._may_rotate(request, api_key):
            raise PermissionDenied
        form: Any = RotationForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                # The copy keeps ``api_key`` as it is stored, if the rotation fails.
                successor = self._rotate(request, copy(api_key), **form.cleaned_data)
                return self._render_created(request, successor, _("API key rotated"), old_key=successor.rotated_from)
            except ValidationError as error:
                add_errors(form, error)
        # Look after the attempt: another request may have rotated the key at the same time.
        if rotated_to := self.get_queryset(request).filter(rotated_from=api_key.pk).first():
            return self._render_created(request, rotated_to, _("API key already rotated"), status=409, old_key=api_key)
        if api_key.state != KeyState.ACTIVE:
            self.message_user(request, _("Only an active key can be rotated."), messages.ERROR)
            return HttpResponseRedirect(self.reverse_page("change", api_key.pk))
        adminform = AdminForm(form, [(None, {"fields": [*form.fields]})], {}, model_admin=self)
        media = self.media + form.media
        context = {"rows": [self.describe(api_key)], "adminform": adminform, "errors": form.errors, "media": media}
        return self.render_confirmation(request, "apikey/rotate", _("Rotate API key"), api_key, **context)

    def _tell_of_leak(self, request: HttpRequest, api_key: ApiKey) -> None:
        """Tell staff on the next page, in a red box, that this is the key, and offer to revoke it."""
        state = gettext("It is revoked.")
        if api_key.is_active:
            state = format_html("{} {}.", gettext("Last used:"), self.used(api_key))
        text = format_html("<strong>{}</strong> {}", gettext("This is the key you pasted."), state)
        if api_key.is_active and self.has_change_permission(request, api_key):
            link = '{} <a role="button" class="revokelink" href="{}">{}</a>'
            text = format_html(link, text, self.reverse_page("revoke", api_key.pk), gettext("Revoke"))
        self.message_user(request, text, messages.ERROR, "leaked-key")

    def _may_rotate(self, request: HttpRequest, api_key: ApiKey | None) -> bool:
        # A rotation ends one key and adds another.
        return self.has_change_permission(request, api_key) and self.has_add_permission(request)

    def _rotate(self, request: HttpRequest, api_key: ApiKey, grace: Any, expires_at: Any) -> ApiKey:
        staff: Any = request.user
        with acting(get_actor(request)), transaction.atomic(using=router.db_for_write(ApiKey)):
            # A log entry that cannot be written must not put the raw key into an error report, so no variable has it.
            successor, vars(successor)["raw_key"] = api_key.rotate(
                grace=grace, expires_at=expires_at or ..., created_by=staff
            )
            LogEntry.objects.log_actions(staff.pk, [api_key], CHANGE, gettext("Rotated."))
        return successor

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not find_api_keys(request.GET.get("q", "")):
            return super().changelist_view(request, extra_context)
        text = _(
            "Do not search for a full key: it ends up in server logs and browser histories. Enter it here instead."
        )
        self.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(self.reverse_page("find"))

    @method_decorator(sensitive_post_parameters("api_key"))
    def find_view(self, request: HttpRequest) -> HttpResponse:
        form = FindApiKeyForm(request.POST if request.method == "POST" else None)
        hashed_key = hash_api_key(form.cleaned_data.pop("api_key")) if form.is_valid() else None
        # Remove the key from the request: with ``DEBUG``, Django's error page shows all POST data, even if sensitive.
        request.POST = form.data = QueryDict()
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        if hashed_key is not None:
            if api_key := self.get_queryset(request).filter(hashed_key=hashed_key).first():
                self._tell_of_leak(request, api_key)
                return HttpResponseRedirect(self.reverse_page("change", api_key.pk))
            form.add_error("api_key", _("No key matches. It may belong to another installation or have been deleted."))
        return self.render_page(request, "apikey/find", _("Find a leaked API key"), form=form)


def _has_restriction(api_key: ApiKey, name: str) -> bool:
    """Return whether a restriction applies to the type of a key, or the row has it all the same."""
    return _applies([api_key.prefix], name) or bool(getattr(api_key, name))


def _applies(key_types: Iterable[str], name: str) -> bool:
    """Return whether a restriction applies to one of these types."""
    rules = [KEY_RULES[key_type] for key_type in key_types]
    applies = {
        "restricted_to": any(rule.holder == KeyHolder.USER for rule in rules),
        "allowed_origins": any(rule.is_public for rule in rules),
    }
    return applies.get(name, True)


def _read_holder(request: HttpRequest) -> KeyHolder:
    """Return the holder that the form of a new key offers: the one in the address, or that of the chosen type."""
    chosen = request.GET.get("holder")
    if chosen in HOLDERS:
        return KeyHolder(chosen)
    rules = KEY_RULES.get(request.POST.get("prefix") or request.GET.get("prefix", ""))
    return rules.holder if rules else KeyHolder.ORGANIZATION


def _link_holders(request: HttpRequest, holder: KeyHolder) -> str:
    """Return links to the forms for the other holders, which keep what the address says otherwise."""
    links = []
    for name, label in HOLDERS.items():
        query = request.GET.copy()
        # The type and the holder of the other form do not fit.
        for other in ("prefix", *KeyHolder):
            query.pop(other, None)
        query["holder"] = name
        current = mark_safe(' aria-current="page"') if name == holder else ""
        links.append((current, query.urlencode(), label))
    return format_html('<nav class="holders">{}</nav>', format_html_join(" ", '<a{} href="?{}">{}</a>', links))
