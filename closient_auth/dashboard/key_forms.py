"""The forms about keys."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import F, OrderBy, Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from closient_auth.conf import conf
from closient_auth.dashboard.badges import SOON
from closient_auth.forms import HiddenTexts, LeakedKeyField, LinesField, get_permission_label, list_texts
from closient_auth.keys import HINT_LENGTH, KeyType
from closient_auth.models import ApiKey, Organization
from closient_auth.models.api_keys import LABELS, MAX_LIMIT, ApiKeyQuerySet, KeyState, is_unused_since
from closient_auth.models.key_policies import get_max_rate_limits
from closient_auth.models.restrictions import RESTRICTIONS
from closient_auth.moments import to_local
from closient_auth.roles import KEY_RULES, KeyHolder, get_all_permissions, sort_permissions

# The lifetimes to choose from, in days.
LIFETIMES = (7, 30, 90, 365)
DEFAULT_LIFETIME = 90
UNUSED = timedelta(days=90)
# The hint that a text for the search begins with, as in "csb_Cel5…" or "Cel5".
HINT = re.compile(rf"(?:(?:{'|'.join(KeyType.values)})_)?([A-Za-z0-9]{{1,{HINT_LENGTH}}})…?")

# By key type: what the card says about it, and whether the key may be published.
TYPE_TEXTS = {
    KeyType.BUSINESS: (
        _("For your servers. It can do what you allow, including writing."),
        _("Keep it secret: never put it into a web page or an app."),
        _("Example: a server that updates your stock every night."),
    ),
    KeyType.PUBLISHABLE: (
        _("For web pages. It can only read what was opened for it."),
        _("Safe to publish: everybody may see it."),
        _("Example: a product finder on your shop's page."),
    ),
}
GRACE_LABELS = {
    timedelta(0): _("Now: it has leaked"),
    timedelta(hours=1): _("In 1 hour"),
    timedelta(days=1): _("In 24 hours"),
    timedelta(days=7): _("In 7 days"),
}
ALL, ONLY, NOTHING = "all", "only", "nothing"
KEEP, CUSTOM, NEVER = "keep", "custom", "never"


def get_lifetimes() -> tuple[list[int], int]:
    """Return the lifetimes in days that a person may choose for a new key, and the default."""
    maximum, default = conf.MAX_KEY_LIFETIME_DAYS, conf.KEY_LIFETIME_DAYS or DEFAULT_LIFETIME
    default = min(default, maximum or default)
    return sorted(days for days in {*LIFETIMES, default} if not maximum or days <= maximum), default


class FilterForm(forms.Form):
    """The filters of a list of keys, in the query string."""

    ACTIVE, UNUSED, EXPIRING, UNENDING, ANY = "active", "unused", "expiring", "unending", "any"
    ORDERS: Mapping[str, Sequence[str | OrderBy | Lower]] = {
        "used": (F("last_used").desc(nulls_last=True), "-created_at"),
        "name": (Lower("name"),),
        "expiry": (F("expires_at").asc(nulls_last=True),),
        "newest": ("-created_at",),
    }
    q = forms.CharField(
        label=_("Search"),
        required=False,
        max_length=255,
        widget=forms.TextInput({"autocomplete": "off", "type": "search"}),
    )
    state = forms.ChoiceField(
        label=_("State"),
        required=False,
        choices=[
            (ACTIVE, KeyState.ACTIVE.label),
            (UNUSED, _("Unused for 90 days")),
            (EXPIRING, _("Expire within 14 days")),
            (UNENDING, _("Never expire")),
            (KeyState.EXPIRED, KeyState.EXPIRED.label),
            (KeyState.REVOKED, KeyState.REVOKED.label),
            (ANY, _("All states")),
        ],
    )
    type = forms.ChoiceField(label=_("Type"), required=False)
    sort = forms.ChoiceField(
        label=_("Sort by"),
        required=False,
        choices=[("used", _("Last used")), ("name", _("Name")), ("expiry", _("Expiry")), ("newest", _("Newest"))],
    )

    def __init__(self, data: Any, *, types: Sequence[str]) -> None:
        super().__init__(data)
        self.fields["q"].widget.attrs["placeholder"] = gettext("Name or %s") % f"{types[0]}_Cel5"
        if len(types) == 1:
            del self.fields["type"]
        else:
            field: Any = self.fields["type"]
            field.choices = [("", _("All types")), *((name, KeyType(name).label) for name in types)]

    @property
    def is_filtered(self) -> bool:
        """Whether the page shows other keys than the active ones."""
        return not self.is_valid() or any(
            value for name, value in self.cleaned_data.items() if name != "sort" and value != self.ACTIVE
        )

    def filter(self, keys: ApiKeyQuerySet, now: datetime) -> ApiKeyQuerySet:
        """Return the keys that the filters leave, in their order; none for invalid filters."""
        if not self.is_valid():
            return keys.none()
        values = self.cleaned_data
        keys = filter_state(keys, values["state"] or self.ACTIVE, now)
        if text := values["q"]:
            match = HINT.fullmatch(text)
            keys = keys.filter(Q(name__icontains=text) | (Q(hint__startswith=match[1]) if match else Q()))
        if key_type := values.get("type"):
            keys = keys.filter(prefix=key_type)
        return keys.order_by(*self.ORDERS[values["sort"] or "used"], "pk")


def get_hygiene(now: datetime) -> dict[str, Q]:
    """Return the conditions for active keys that somebody should look at, by the value of ``FilterForm.state``."""
    return {
        FilterForm.UNUSED: is_unused_since(now - UNUSED),
        # A replaced key is to end.
        FilterForm.EXPIRING: Q(expires_at__lte=now + SOON, successor__isnull=True),
        FilterForm.UNENDING: Q(expires_at__isnull=True),
    }


def filter_state(keys: ApiKeyQuerySet, state: str, now: datetime) -> ApiKeyQuerySet:
    """Return the keys in a state of ``FilterForm``."""
    if state == FilterForm.ANY:
        return keys
    if condition := get_hygiene(now).get(state):
        return keys.active().filter(condition)
    return keys.in_state(state)


class ExpiryForm(forms.Form):
    """A choice of lifetimes, and a date for ``CUSTOM``. The cleaned value is a time, ``None``, or ``...`` to keep the expiry."""

    expires_at = forms.ChoiceField(label=_("Expires"), required=False)
    expires_on = forms.DateField(
        label=_("Last day"),
        required=False,
        help_text=_("The key works until the end of this day."),
        widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
    )

    def offer_expiry(self, *, kept: str = "", is_default: bool = True) -> None:
        """Set the choices. ``kept`` describes the expiry that can be kept, by default if ``is_default``."""
        field: Any = self.fields["expires_at"]
        maximum = conf.MAX_KEY_LIFETIME_DAYS
        days, default = get_lifetimes()
        field.choices = [
            *([(KEEP, kept)] if kept else []),
            *((str(number), ngettext("In %d day", "In %d days", number) % number) for number in days),
            (CUSTOM, _("On a date…")),
            *([] if maximum else [(NEVER, _("Never"))]),
        ]
        self.initial["expires_at"] = KEEP if kept and is_default else str(default)
        if maximum:
            field.help_text = ngettext(
                "A key lives for at most %d day.", "A key lives for at most %d days.", maximum
            ) % (maximum)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        choice = values.get("expires_at")
        if choice == CUSTOM:
            day = values.get("expires_on")
            values["expires_at"] = day and _get_end_of_day(day)
            if day is None and "expires_on" not in self.errors:
                self.add_error("expires_on", ValidationError(_("Choose a date."), code="required"))
        elif choice == NEVER:
            values["expires_at"] = None
        else:
            values["expires_at"] = timezone.now() + timedelta(days=int(choice)) if choice and choice != KEEP else ...
        return values


def _get_end_of_day(day: date) -> datetime:
    end = datetime.combine(day, time(23, 59, 59))
    aware = timezone.make_aware(end) if settings.USE_TZ else end
    maximum = conf.MAX_KEY_LIFETIME_DAYS
    last = timezone.now() + timedelta(days=maximum)
    # The last day that may be chosen ends later than the longest lifetime.
    is_last_day = maximum and day == (timezone.localtime(last) if settings.USE_TZ else last).date()
    return min(aware, last) if is_last_day else aware


class KeyForm(ExpiryForm):
    """What people choose for a key. Without ``api_key``, it is that of a new key."""

    nonce = forms.CharField(required=False, widget=forms.HiddenInput({"autocomplete": "off"}))
    type = forms.ChoiceField(label=_("Type"), widget=forms.RadioSelect)
    name = forms.CharField(
        label=_("Name"),
        max_length=255,
        widget=forms.TextInput({"placeholder": _("Warehouse server"), "autocomplete": "off"}),
        help_text=_("What uses the key."),
    )
    description = forms.CharField(label=_("Description (optional)"), required=False, max_length=255)
    rate_limit_per_minute = forms.IntegerField(
        label=_("Requests a minute"), required=False, min_value=0, max_value=MAX_LIMIT
    )
    rate_limit_per_day = forms.IntegerField(label=_("Requests a day"), required=False, min_value=0, max_value=MAX_LIMIT)
    access = forms.ChoiceField(label=_("What the key may do"), required=False, widget=forms.RadioSelect)
    permissions = forms.MultipleChoiceField(label=_("Only this"), required=False, widget=forms.CheckboxSelectMultiple)
    restricted_to = forms.ChoiceField(label=_("Organization"), required=False)
    allowed_networks = LinesField(
        label=_("Networks"),
        required=False,
        widget=forms.Textarea({"rows": 3, "spellcheck": "false", "placeholder": "203.0.113.0/24"}),
        help_text=_("Addresses of the computers that may use the key, one on each line. Empty: all."),
    )
    allowed_origins = LinesField(
        label=_("Web pages"),
        required=False,
        widget=forms.Textarea({"rows": 3, "spellcheck": "false", "placeholder": "https://www.example.com"}),
        help_text=_(
            "Addresses of the sites that may use the key, one on each line, without a path. Empty: all. Only browsers "
            "respect this."
        ),
    )
    LIMITS = ("rate_limit_per_minute", "rate_limit_per_day")

    def __init__(
        self,
        data: Any = None,
        *,
        types: Sequence[str],
        grantable: Collection[str],
        organizations: Collection[Organization],
        api_key: ApiKey | None = None,
    ) -> None:
        super().__init__(data)
        self.api_key, self.grantable = api_key, grantable
        self.organizations = {str(organization.pk): organization for organization in organizations}
        if api_key is None:
            self._offer_types(types)
            self.initial["nonce"] = get_random_string(22)
            self.offer_expiry()
        else:
            del self.fields["nonce"], self.fields["type"]
            self._show(api_key)
        types = types if api_key is None else [api_key.prefix]
        self._explain_limits(types)
        self._offer_restrictions(types)
        if api_key is not None and not api_key.is_active:
            # Revoking is final, so nothing else of the key has an effect any more.
            for name in self.fields.keys() - LABELS:
                del self.fields[name]

    @property
    def cards(self) -> Iterator[dict[str, Any]]:
        """The types to choose from, for cards."""
        for radio, name in zip(self["type"], TYPE_TEXTS, strict=True):
            text, safety, example = TYPE_TEXTS[name]
            is_public = KEY_RULES[name].is_public
            yield {"radio": radio, "text": text, "safety": safety, "example": example, "is_public": is_public}

    @property
    def has_limits(self) -> bool:
        """Whether the form shows a limit or an error about one."""
        return any(self[name].value() or self[name].errors for name in self.LIMITS)

    @property
    def has_restrictions(self) -> bool:
        """Whether the form shows a restriction or an error about one."""
        names = [name for name in RESTRICTIONS if name in self.fields]
        return any(self[name].value() or self[name].errors for name in names)

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        for name in self.LIMITS:
            if name in values:
                values[name] = values[name] or 0
        if "restricted_to" in values:
            values["restricted_to"] = self.organizations.get(values["restricted_to"])
        if self.api_key is None and (rules := KEY_RULES.get(values.get("type", ""))) and rules.is_public:
            # The page hides these fields for publishable keys, which can only read anyway.
            values["access"] = ALL
        self._clean_permissions(values)
        return values

    def get_values(self) -> dict[str, Any]:
        """Return the arguments for ``create_key()``."""
        values = {name: value for name, value in self.cleaned_data.items() if name not in {"nonce", "access"}}
        values.pop("expires_on", None)
        if "type" in values:
            values["prefix"] = values.pop("type")
        return values

    def get_changes(self) -> dict[str, Any]:
        """Return what the form changes of the key, for ``change()``."""
        values = self.get_values()
        changed = {*self.changed_data}
        if changed & {"access", "permissions"}:
            changed.add("permissions")
        if values["expires_at"] is not ...:
            changed.add("expires_at")
        else:
            changed.discard("expires_at")
        return {name: value for name, value in values.items() if name in changed}

    def _clean_permissions(self, values: dict[str, Any]) -> None:
        if "access" not in self.fields:
            return
        chosen, access = values.get("permissions", []), values.pop("access", "") or ALL
        values["access"] = access
        values["permissions"] = {ALL: None, ONLY: chosen, NOTHING: []}[access]
        if access != ONLY:
            return
        if not chosen and "permissions" not in self.errors:
            text = _("Check at least one, or choose everything.")
            self.add_error("permissions", ValidationError(text, code="required"))
        elif self._is_changed() and (lacking := [name for name in chosen if name not in self.grantable]):
            text = _("You may not do this yourself: %s.")
            labels = ", ".join(map(get_permission_label, lacking))
            self.add_error("permissions", ValidationError(text % labels, code="lacking"))

    def _is_changed(self) -> bool:
        return self.api_key is None or bool({"access", "permissions"} & {*self.changed_data})

    def _offer_types(self, types: Sequence[str]) -> None:
        field: Any = self.fields["type"]
        if len(types) == 1:
            del self.fields["type"]
            return
        field.choices = [(name, KeyType(name).label) for name in types]
        self.initial["type"] = types[0]

    def _show(self, api_key: ApiKey) -> None:
        """Fill in the values of a key."""
        self.fields["name"].required = False
        self.offer_expiry(kept=describe_expiry(api_key.expires_at))
        self.initial["name"], self.initial["description"] = api_key.name, api_key.description
        for name in self.LIMITS:
            self.initial[name] = getattr(api_key, name) or None
        self.initial["restricted_to"] = str(api_key.restricted_to_id or "")
        for name in ("allowed_networks", "allowed_origins"):
            self.initial[name] = "\n".join(list_texts(getattr(api_key, name)))
        # On an old page, what somebody else has changed since must not count as changed by this form.
        for name, field in self.fields.items():
            field.show_hidden_initial = not name.startswith("expires")

    def _explain_limits(self, types: Sequence[str]) -> None:
        per_minute = {name: KEY_RULES[name].get_rate_limit() for name in types}
        defaults = (per_minute, dict.fromkeys(types, conf.RATE_LIMIT_PER_DAY))
        for (name, maximum), numbers in zip(get_max_rate_limits().items(), defaults, strict=True):
            texts = [f"{_describe_default(numbers)}."]
            if maximum:
                texts.append(gettext("At most %s.") % number_format(maximum, force_grouping=True))
            self.fields[name].help_text = " ".join(texts)

    def _offer_restrictions(self, types: Sequence[str]) -> None:
        rules = [KEY_RULES[name] for name in types]
        if all(rule.holder != KeyHolder.USER for rule in rules):
            del self.fields["restricted_to"]
        else:
            self._offer_organizations()
        api_key = self.api_key
        if not any(rule.is_public for rule in rules) and not (api_key and api_key.allowed_origins):
            del self.fields["allowed_origins"]
        if all(rule.is_public for rule in rules) and not (api_key and api_key.permissions is not None):
            del self.fields["access"], self.fields["permissions"]
        else:
            self._offer_permissions(is_own=rules[0].holder == KeyHolder.USER)

    def _offer_organizations(self) -> None:
        field: Any = self.fields["restricted_to"]
        stored: Any = self.api_key and self.api_key.restricted_to
        if stored is not None:
            self.organizations.setdefault(str(stored.pk), stored)
        named = ((pk, organization.name) for pk, organization in self.organizations.items())
        field.choices = [("", _("All of yours, also later ones")), *named]

    def _offer_permissions(self, *, is_own: bool) -> None:
        stored = None if self.api_key is None else self.api_key.permissions
        checked = [] if stored is None else list_texts(stored)
        known = sort_permissions(get_all_permissions())
        offered = [name for name in known if name in self.grantable or name in checked]
        unknown = [name for name in checked if name not in known]
        boxes: Any = self.fields["permissions"]
        boxes.hidden_widget = HiddenTexts
        boxes.choices = [
            *((name, get_permission_label(name)) for name in offered),
            *((name, _("%s (unknown)") % name) for name in unknown),
        ]
        self.initial["permissions"] = checked
        radios: Any = self.fields["access"]
        is_limited = is_own or (self.api_key is None and not get_all_permissions().issubset(self.grantable))
        radios.choices = [
            (ALL, _("Everything that you may do") if is_limited else _("Everything")),
            (ONLY, _("Only what is checked here")),
            *([(NOTHING, _("Nothing"))] if stored == [] else []),
        ]
        self.initial["access"] = ALL if stored is None else ONLY if checked else NOTHING


def describe_expiry(expires_at: datetime | None) -> str:
    """Return the choice that keeps the expiry of a key."""
    if expires_at is None:
        return gettext("Never (as now)")
    return gettext("%s (as now)") % date_format(to_local(expires_at), "DATETIME_FORMAT")


def _describe_default(numbers: Mapping[str, int]) -> str:
    first, *others = numbers.values()
    text = gettext("Empty: %s") % _format_limit(first)
    if all(number == first for number in others):
        return text
    by_type = (f"{KeyType(name).label} {_format_limit(number)}" for name, number in numbers.items())
    return gettext("Empty: %s") % ", ".join(by_type)


def _format_limit(limit: int) -> str:
    return number_format(limit, force_grouping=True) if limit else gettext("no limit")


class RotationForm(ExpiryForm):
    grace = forms.TypedChoiceField(
        label=_("The old key stops working"),
        choices=[(int(grace.total_seconds()), label) for grace, label in GRACE_LABELS.items()],
        initial=int(timedelta(days=1).total_seconds()),
        coerce=lambda seconds: timedelta(seconds=int(seconds)),
        widget=forms.RadioSelect,
    )
    field_order = ("grace", "expires_at", "expires_on")

    def __init__(self, data: Any = None, *, api_key: ApiKey) -> None:
        super().__init__(data)
        self.offer_expiry(kept=describe_expiry(api_key.expires_at), is_default=api_key.expires_at is None)
        self.fields["expires_at"].label = _("The new key expires")


class RevocationForm(forms.Form):
    is_known = forms.BooleanField(
        label=_("I know that something uses this key."),
        error_messages={"required": _("Check this to revoke a key that is in use.")},
    )

    def __init__(self, data: Any = None, *, is_used: bool) -> None:
        super().__init__(data)
        if not is_used:
            del self.fields["is_known"]


class LeakedForm(forms.Form):
    attrs = {"rows": 3, "autocomplete": "off", "spellcheck": "false", "data-1p-ignore": True}
    api_key = LeakedKeyField(
        label=_("Key, or a text with the key in it"),
        help_text=_("Such as a line of a log. The text is not stored."),
        widget=forms.Textarea(attrs),
    )
