"""The audit log of an organization as a page and as a file."""

import csv
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from functools import reduce
from itertools import groupby
from operator import and_
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import router
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone, translation
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from closient_auth.dashboard.frame import OrganizationPage, get_name
from closient_auth.models import AuditEntry
from closient_auth.models.audit import Event
from closient_auth.moments import to_local
from closient_auth.roles import Permission
from closient_auth.sentences import describe, describe_in_text, get_actor_name, get_changes

GROUPS: Mapping[str, Any] = {
    "keys": gettext_lazy("Keys"),
    "members": gettext_lazy("Members"),
    "invitations": gettext_lazy("Invitations"),
    "organization": gettext_lazy("Organization"),
}
# The group of an event is named by what its entries are about.
MODELS = {"keys": "apikey", "members": "membership", "invitations": "invitation", "organization": "organization"}
# Events that give something to somebody, that take it away, and signs of a leak, by the colour of their mark.
TONES = {
    Event.ORGANIZATION_CREATED: "good",
    Event.MEMBER_ADDED: "good",
    Event.INVITATION_ACCEPTED: "good",
    Event.API_KEY_CREATED: "good",
    Event.API_KEY_ROTATED: "good",
    Event.API_KEY_LET_IN: "good",
    Event.MEMBER_REMOVED: "bad",
    Event.INVITATION_DECLINED: "bad",
    Event.INVITATION_WITHDRAWN: "bad",
    Event.API_KEY_REVOKED: "bad",
    Event.API_KEY_SHUT_OUT: "bad",
    Event.REVOKED_API_KEY_USED: "warn",
    Event.API_KEY_USED_IN_BROWSER: "warn",
}
# Converting a time in year 1 or 9999 to another time zone can overflow.
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(9000, 1, 1)

# A file is read from the database in parts.
BATCH_SIZE = 500
# Spreadsheets compute a cell that begins like this. A program with another separator may begin a cell within a text.
FORMULA = re.compile(r"""(^|[;,|\t\r\n])([\s"']*)(?=[=+\-@＝＋－＠])|^(?=[\t\r\n])""")


class DayField(forms.DateField):
    """A day in the current time zone."""

    widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    default_validators = [MinValueValidator(FIRST_DAY), MaxValueValidator(LAST_DAY)]


class AuditFilterForm(forms.Form):
    group = forms.ChoiceField(label=gettext_lazy("Event"), required=False)
    person = forms.CharField(label=gettext_lazy("Who"), required=False, max_length=255)
    since = DayField(label=gettext_lazy("From"), required=False)
    until = DayField(label=gettext_lazy("To"), required=False)
    # Links of other pages set it.
    target = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["group"].choices = [("", _("All")), *GROUPS.items()]  # type: ignore[attr-defined]

    @property
    def is_used(self) -> bool:
        """Whether a filter leaves entries out."""
        return any(self.data.get(name) for name in self.fields)

    def filter(self, entries: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """Return the entries that match the form, and none if it is invalid."""
        if not self.is_valid():
            return entries.none()
        values = self.cleaned_data
        if values["group"]:
            entries = entries.filter(target_model=MODELS[values["group"]])
        if values["target"]:
            entries = entries.filter(target_id=values["target"])
        if values["since"]:
            entries = entries.filter(created_at__gte=_get_start(values["since"]))
        if values["until"]:
            entries = entries.filter(created_at__lt=_get_start(values["until"] + timedelta(days=1)))
        return entries.filter(reduce(and_, map(_matches, values["person"].split()), Q()))


class AuditPage(OrganizationPage):
    title = gettext_lazy("Audit log")
    template_name = "closient_auth/dashboard/audit.html"
    tab = "audit"
    permission = Permission.MANAGE_MEMBERS

    def get_form(self) -> AuditFilterForm:
        return AuditFilterForm(self.request.GET, auto_id="audit_%s", label_suffix="")

    def get_entries(self) -> QuerySet[AuditEntry]:
        """Return all entries of the organization, newest first."""
        # A lagging replica would not show what somebody has just done.
        entries = AuditEntry.objects.using(router.db_for_write(AuditEntry)).filter(organization_id=self.organization.pk)
        return entries.select_related("user").order_by("-created_at", "pk")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        form = self.get_form()
        rows = self.paginate(form.filter(self.get_entries()))
        days = [
            {"day": to_local(found[0].created_at), "rows": [_show(entry) for entry in found]}
            for found in (list(group) for _day, group in groupby(rows, lambda entry: to_local(entry.created_at).date()))
        ]
        return super().get_context_data(form=form, rows=rows, days=days, file_url=self.get_url("audit-csv"), **kwargs)


class AuditFile(AuditPage):
    """The entries that the page shows, on all its pages, as a file for a spreadsheet."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        form = self.get_form()
        if not form.is_valid():
            # The page says what is wrong.
            return HttpResponseRedirect(f"{self.get_url('audit')}?{request.GET.urlencode()}")
        entries = form.filter(self.get_entries())
        response = StreamingHttpResponse(_write(entries), content_type="text/csv; charset=utf-8")
        name = f"audit-{get_name(self.organization)}-{to_local(timezone.now()):%Y-%m-%d}.csv"
        response.headers["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
        return response


class _Echo:
    """A file that returns what is written."""

    def write(self, text: str) -> str:
        return text


def _read(entries: QuerySet[AuditEntry]) -> Iterator[AuditEntry]:
    """Yield the entries, newest first. A slow client keeps no cursor and no transaction open."""
    rest = entries
    while batch := list(rest[:BATCH_SIZE]):
        yield from batch
        if len(batch) < BATCH_SIZE:
            return
        last = batch[-1]
        rest = entries.filter(
            Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, pk__gt=last.pk),
        )


def _write(entries: QuerySet[AuditEntry]) -> Iterator[str]:
    writer: Any = csv.writer(_Echo(), quoting=csv.QUOTE_ALL)
    # Middleware may have restored its own by the time the server reads on.
    language, zone = translation.get_language(), timezone.get_current_timezone()
    titles = [
        pgettext("column", "Time"),
        _("Event"),
        _("What happened"),
        _("Who"),
        _("Address"),
        _("Changes"),
        _("Target"),
        _("Target id"),
    ]
    # Without this mark, spreadsheets guess the encoding.
    yield "\ufeff" + writer.writerow(titles)
    for entry in _read(entries):
        with translation.override(language), timezone.override(zone):
            cells = _get_cells(entry)
        yield writer.writerow(map(defuse, cells))


def _get_cells(entry: AuditEntry) -> list[str]:
    changes = [f"{label}: {old or ''} → {new or ''}" for label, old, new in get_changes(entry)]
    return [
        to_local(entry.created_at).isoformat(),
        entry.event,
        describe_in_text(entry),
        entry.actor,
        entry.address,
        "; ".join(changes),
        entry.target,
        str(entry.target_id),
    ]


def defuse(text: str) -> str:
    """Return a text for a cell of a spreadsheet, which the program does not compute."""
    return FORMULA.sub(r"\1\2'", text)


def _show(entry: AuditEntry) -> dict[str, Any]:
    return {
        "entry": entry,
        "sentence": describe(entry),
        "changes": get_changes(entry),
        "tone": TONES.get(Event(entry.event), "off") if entry.event in Event else "off",
        # Everybody can choose a full name, but not the name of another account.
        "account": entry.actor if entry.user is not None and get_actor_name(entry) != entry.actor else "",
    }


def _matches(word: str) -> Q:
    """Return the condition for entries whose actor has this word in a name."""
    fields = {field.name for field in get_user_model()._meta.concrete_fields}
    names = [f"user__{name}" for name in ("first_name", "last_name") if name in fields]
    return reduce(lambda found, name: found | Q(**{f"{name}__icontains": word}), names, Q(actor__icontains=word))


def _get_start(day: date) -> datetime:
    start = datetime.combine(day, time.min)
    return timezone.make_aware(start) if settings.USE_TZ else start
