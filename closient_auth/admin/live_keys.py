"""Warnings about the active keys of people who lose permissions, as they may have copies of these keys."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import display_for_value
from django.db import models, router
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from closient_auth.admin.base import find_list
from closient_auth.models import ApiKey, AuditEntry

# A warning names at most this many keys, and leads to a list of all of them.
NAMED_KEYS = 10


def warn_about_live_keys(
    model_admin: Any, request: HttpRequest, person: str, api_keys: Sequence[ApiKey], **filters: object
) -> None:
    """Tell a staff user which active keys a person made; ``filters`` are those of the list of keys.

    A staff user who may not view keys learns only their number.
    """
    if not api_keys:
        return
    text = ngettext(
        "%(person)s made %(count)d active API key, and may have a copy of it.",
        "%(person)s made %(count)d active API keys, and may have copies of them.",
        len(api_keys),
    )
    text %= {"person": person, "count": len(api_keys)}
    if request.user.has_perm("closient_auth.view_apikey") or request.user.has_perm("closient_auth.change_apikey"):
        # The admin gives all list items in messages an icon, so this is no list.
        lines = format_html_join("", "<br>{}", ((_describe(key),) for key in api_keys[:NAMED_KEYS]))
        # The project may have removed the admin pages of the keys.
        address = find_list(model_admin.admin_site, request, ApiKey, **filters)
        link = format_html('<br><a href="{}">{}</a>', address, _("Review all of them")) if address else ""
        text = format_html("{}{}{}", text, lines, link)
    model_admin.message_user(request, text, messages.WARNING)


def _describe(api_key: ApiKey) -> str:
    return _("%(key)s (last used: %(moment)s)") % {
        "key": api_key,
        "moment": display_for_value(api_key.last_used, _("never")),
    }


class LiveKeysMixin(admin.ModelAdmin):  # type: ignore[type-arg]
    """For the ``UserAdmin`` of a project: warn about the active keys that a deactivated or deleted user made.

    Changes by ``QuerySet.update()``, as in an action of a project, are not noticed. The page of a user also links to the
    audit entries of what the user did.
    """

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        response: Any = super().render_change_form(request, context, *args, **kwargs)
        user = context["original"]
        address = None if user is None else find_list(self.admin_site, request, AuditEntry, user=user.pk)
        if address is not None:
            # The project and other packages may have templates of their own for this page.
            page = response.resolve_template(response.template_name)
            response.context_data |= {"page_without_trail": page, "trail_url": address}
            response.template_name = "admin/closient_auth/user_change_form.html"
        return response  # type: ignore[no-any-return]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        # A custom user model may compute ``is_active``, so the form's fields do not tell.
        stored = self._get_stored(obj) if change else None
        super().save_model(request, obj, form, change)
        if stored is not None and stored.is_active and not obj.is_active:
            for person, api_keys in _get_live_keys([obj]):
                warn_about_live_keys(self, request, person, api_keys, created_by=obj.pk, state="active")

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        # The deletion sets ``created_by`` of the keys to null.
        live_keys = _get_live_keys([obj])
        super().delete_model(request, obj)
        self._warn_about(request, live_keys)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        live_keys = _get_live_keys(queryset)
        super().delete_queryset(request, queryset)
        self._warn_about(request, live_keys)

    def _get_stored(self, user: Any) -> Any:
        return type(user)._base_manager.using(router.db_for_write(type(user))).filter(pk=user.pk).first()

    def _warn_about(self, request: HttpRequest, live_keys: list[tuple[str, list[ApiKey]]]) -> None:
        for person, api_keys in live_keys:
            ids = ",".join(str(api_key.pk) for api_key in api_keys)
            warn_about_live_keys(self, request, person, api_keys, id__in=ids)


def _get_live_keys(users: Iterable[Any]) -> list[tuple[str, list[ApiKey]]]:
    """Return each user's name with the active keys that the user made, without the keys that these users hold."""
    names = {user.pk: str(user) for user in users}
    made = ApiKey.objects.using(router.db_for_write(ApiKey)).active().filter(created_by__in=names)
    live_keys: dict[Any, list[ApiKey]] = {pk: [] for pk in names}
    for api_key in made.exclude(user__in=names).order_by("-created_at", "pk"):
        live_keys[api_key.created_by_id].append(api_key)
    return [(names[pk], api_keys) for pk, api_keys in live_keys.items()]
