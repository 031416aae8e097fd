"""Serializers of the management API. The models check the permissions."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from closient_auth.keys import KeyType
from closient_auth.memberships import get_memberships
from closient_auth.models import ApiKey, Invitation, Membership, Organization
from closient_auth.models.addresses import get_address_field, mask_address
from closient_auth.models.api_keys import MAX_GRACE, MAX_LIMIT, KeyState
from closient_auth.models.audit import Event
from closient_auth.models.invitations import InvitationState
from closient_auth.models.mails import get_display_name
from closient_auth.models.organizations import SLUG, SLUG_INVALID, SLUG_LENGTH
from closient_auth.models.restrictions import MAX_ENTRIES
from closient_auth.roles import KeyHolder, Role, get_key_types
from closient_auth.usage.history import INTERVALS

ORGANIZATION_KEYS = get_key_types(KeyHolder.ORGANIZATION)
# An error names at most this many unknown fields and characters of a name, so a response is never larger than its request.
MAX_FIELDS_IN_ERRORS = 10
MAX_CHARACTERS_IN_ERRORS = 100
# The longest range of a usage history by interval, and the first year that can be asked for.
MAX_USAGE_DAYS = {"hour": 31, "day": 400}
FIRST_YEAR = 1970


class UtcDateTimeField(serializers.DateTimeField):
    """Accept ISO 8601 with a time zone and return UTC, whatever ``USE_TZ`` is."""

    default_error_messages = {"naive": _("Include a time zone, for example 2030-01-31T12:00:00Z.")}
    input_formats = ["iso-8601"]

    def enforce_timezone(self, value: datetime) -> datetime:
        if timezone.is_naive(value):
            self.fail("naive")
        try:
            value = value.astimezone(UTC)
            return value if settings.USE_TZ else timezone.make_naive(value, timezone.get_default_timezone())
        except OverflowError:
            self.fail("overflow")

    def to_representation(self, value: datetime) -> str:
        if timezone.is_naive(value):
            value = timezone.make_aware(value, timezone.get_default_timezone())
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Serializer(serializers.Serializer[Any]):
    """Refuse unknown and read-only fields, because a client would expect an ignored field to be set.

    The error names the first ten of them.
    """

    # Examples of the fields for the OpenAPI document.
    examples: dict[str, Any] = {}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            writable = {name for name, field in self.fields.items() if not field.read_only}
            refused = islice((name for name in data if name not in writable), MAX_FIELDS_IN_ERRORS)
            if names := [str(name)[:MAX_CHARACTERS_IN_ERRORS] for name in refused]:
                message = _("This field cannot be set. Writable fields: %s.") % (", ".join(sorted(writable)) or "-")
                raise serializers.ValidationError(dict.fromkeys(names, [message]), "fixed")
        return super().to_internal_value(data)


class TextField(serializers.CharField):
    """Accept only strings. REST framework would convert a number."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class ChoiceField(serializers.ChoiceField):
    """Name the choices in the error. REST framework would repeat the value, which has no maximum length."""

    default_error_messages = {"invalid_choice": _("This is not one of the choices: {choices}.")}

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or data not in self.choices:
            self.fail("invalid_choice", choices=", ".join(self.choices))
        return data


class SlugField(TextField, serializers.RegexField):
    default_error_messages = {"invalid": SLUG_INVALID}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(regex=SLUG, max_length=SLUG_LENGTH, **kwargs)


class OrganizationSlugField(SlugField):
    """The slug of an organization; null in responses if the project has names of its own (setting ``MEMBERSHIPS``)."""

    def get_attribute(self, instance: Organization) -> str | None:
        return get_memberships().get_slug(instance)


class BooleanField(serializers.BooleanField):
    """Accept only booleans. REST framework would convert numbers and words."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=type(data).__name__)
        return data


class EmailField(TextField, serializers.EmailField):
    pass


class TextListField(serializers.ListField):
    """Accept a list of strings, and report only the first invalid one, so that the error does not grow with the body."""

    default_error_messages = {"too_many": _("This list has more than {maximum} entries.")}
    child: Any = TextField(max_length=255)
    maximum = MAX_ENTRIES

    def to_internal_value(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        if len(data) > self.maximum:
            self.fail("too_many", maximum=self.maximum)
        return [self.child.run_validation(value) for value in data]

    def to_representation(self, data: Any) -> list[str]:
        # Another program may have written a value that is no list. Such a key is refused, and people must find it.
        return [str(value) for value in data] if isinstance(data, list) else []


class IdField(serializers.UUIDField):
    """Accept only strings. REST framework would convert a number."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class IdListField(TextListField):
    child = IdField()
    maximum = 1000


class OwnOrganizationField(TextField):
    """The id or slug of an organization that has the user of the request as a member; the response has the id."""

    # The validators of this field see the organization, and not the text.
    text = TextField(max_length=255)
    default_error_messages = {"does_not_exist": _("You are not a member of an organization with this id or name.")}

    def to_internal_value(self, data: Any) -> Organization:  # type: ignore[override]
        found = get_memberships().find(self.context["request"].user, [self.text.run_validation(data)], limit=2)
        # The names of a project need not be unique.
        if len(found) != 1:
            self.fail("does_not_exist")
        return found[0].organization  # type: ignore[no-any-return]

    def get_attribute(self, instance: ApiKey) -> Any:
        # The id is enough, and loading the organization would take a query for each key.
        return instance.restricted_to_id


class ShutOutField(BooleanField):
    def get_attribute(self, instance: ApiKey) -> bool:
        return instance.is_shut_out_of(self.context["view"].organization)


class PageSerializer(serializers.Serializer[Any]):
    page = serializers.IntegerField(min_value=1, required=False)
    page_size = serializers.IntegerField(min_value=1, required=False, help_text=_("25 by default, at most 100."))


class ApiKeySerializer(Serializer):
    examples = {
        "name": "warehouse",
        "description": "Counts the stock.",
        "expires_at": None,
        "rate_limit_per_minute": 0,
        "rate_limit_per_day": 0,
        "permissions": ["organization.view_organization"],
        "restricted_to": None,
        "allowed_networks": ["203.0.113.0/24"],
        "allowed_origins": [],
    }
    id = serializers.UUIDField(read_only=True)
    prefix = ChoiceField(choices=KeyType.choices, read_only=True)
    hint = serializers.CharField(read_only=True)
    name = TextField(max_length=255, required=False, allow_blank=True)
    description = TextField(max_length=255, required=False, allow_blank=True)
    state = ChoiceField(choices=KeyState.choices, read_only=True)
    expires_at = UtcDateTimeField(required=False, allow_null=True)
    rate_limit_per_minute = serializers.IntegerField(min_value=0, max_value=MAX_LIMIT, required=False)
    rate_limit_per_day = serializers.IntegerField(min_value=0, max_value=MAX_LIMIT, required=False)
    permissions = TextListField(
        required=False,
        allow_null=True,
        help_text=_("What the key may do, at most what its type or its user may; null for all."),
    )
    restricted_to = OwnOrganizationField(
        required=False,
        allow_null=True,
        help_text=_("The only organization of a user key; null for all of its user."),
    )
    allowed_networks = TextListField(
        required=False, help_text=_("Networks in CIDR notation from which the key may be used; empty for all.")
    )
    allowed_origins = TextListField(
        required=False, help_text=_("Origins of the web pages that may use a publishable key; empty for all.")
    )
    created_by = serializers.CharField(source="created_by.get_username", read_only=True, allow_null=True)
    created_at = UtcDateTimeField(read_only=True)
    last_used = UtcDateTimeField(read_only=True, allow_null=True)
    rotated_from = serializers.UUIDField(source="rotated_from_id", read_only=True, allow_null=True)


class NewUserKeySerializer(ApiKeySerializer):
    key = serializers.CharField(source="raw_key", read_only=True, help_text=_("The full key, shown only once."))


class NewApiKeySerializer(NewUserKeySerializer):
    prefix = ChoiceField(choices=KeyType.choices, help_text=" / ".join(ORGANIZATION_KEYS))

    def validate_prefix(self, prefix: str) -> str:
        if prefix not in ORGANIZATION_KEYS:
            raise serializers.ValidationError(_("An organization cannot have user keys. Users create their own."))
        return prefix


class RotationSerializer(Serializer):
    grace_seconds = serializers.IntegerField(
        min_value=0,
        max_value=int(MAX_GRACE.total_seconds()),
        default=0,
        help_text=_("Seconds until the old key expires, at most until its own expiry."),
    )
    expires_at = UtcDateTimeField(
        required=False, allow_null=True, help_text=_("The expiry of the new key; by default that of the old key.")
    )


class ApiKeyFilterSerializer(serializers.Serializer[Any]):
    prefix = ChoiceField(choices=KeyType.choices, required=False)
    state = ChoiceField(choices=KeyState.choices, source="in_state", required=False)
    unused_since = UtcDateTimeField(required=False)


class OrganizationSerializer(Serializer):
    examples = {"name": "Alpine Outdoor", "slug": "alpine-outdoor"}
    id = serializers.UUIDField(read_only=True)
    name = TextField(max_length=255)
    slug = OrganizationSlugField(required=False)
    user_keys_allowed = serializers.BooleanField(read_only=True)
    suspended_at = UtcDateTimeField(read_only=True, allow_null=True)
    created_at = UtcDateTimeField(read_only=True)


class OrganizationChangeSerializer(OrganizationSerializer):
    user_keys_allowed = BooleanField(required=False)


class OrganizationPolicySerializer(OrganizationChangeSerializer):
    name = TextField(read_only=True)
    slug = OrganizationSlugField(read_only=True)


class MembershipSerializer(Serializer):
    id = serializers.UUIDField(read_only=True)
    username = serializers.CharField(source="user.get_username", read_only=True)
    email = serializers.SerializerMethodField()
    role = ChoiceField(choices=Role.choices)
    created_at = UtcDateTimeField(read_only=True)

    def get_email(self, membership: Membership) -> str:
        return str(getattr(membership.user, get_address_field() or "", None) or "")


class MembershipFilterSerializer(serializers.Serializer[Any]):
    role = ChoiceField(choices=Role.choices, required=False)
    q = TextField(max_length=255, required=False, allow_blank=True)


class LiveKeysSerializer(Serializer):
    live_keys = ApiKeySerializer(many=True, read_only=True)


class RoleChangeSerializer(LiveKeysSerializer, MembershipSerializer):
    pass


class RemovalSerializer(LiveKeysSerializer):
    revoke_keys = IdListField(required=False, write_only=True)


class OrganizationUserKeySerializer(Serializer):
    id = serializers.UUIDField(read_only=True)
    holder = serializers.CharField(source="user.get_username", read_only=True)
    hint = serializers.CharField(read_only=True)
    last_used = UtcDateTimeField(read_only=True, allow_null=True)
    shut_out = ShutOutField(help_text=_("Whether the organization refuses this key."))


class InvitationSerializer(Serializer):
    id = serializers.UUIDField(read_only=True)
    email = EmailField(max_length=254)
    role = ChoiceField(choices=Role.choices, default=Role.EDITOR)
    status = ChoiceField(choices=InvitationState.choices, source="state", read_only=True)
    invited_by = serializers.CharField(source="invited_by.get_username", read_only=True, allow_null=True)
    created_at = UtcDateTimeField(read_only=True)
    expires_at = UtcDateTimeField(read_only=True)
    last_sent_at = UtcDateTimeField(read_only=True, allow_null=True)
    mail_error = serializers.CharField(
        source="last_error",
        read_only=True,
        help_text=_("The type of the error if the last mail could not be sent; empty if your mail server took it."),
    )
    url = serializers.CharField(
        read_only=True,
        help_text=_("The link in the mail, only in the response to the request that sends it; empty otherwise."),
    )


class OffboardingSerializer(LiveKeysSerializer):
    user_keys = OrganizationUserKeySerializer(many=True, read_only=True)
    invitations = InvitationSerializer(many=True, read_only=True)


class InvitationFilterSerializer(serializers.Serializer[Any]):
    status = ChoiceField(choices=InvitationState.choices, source="in_state", required=False)


class InvitationTokenSerializer(Serializer):
    token = TextField(write_only=True, max_length=255)


class AcceptanceSerializer(InvitationTokenSerializer):
    id = serializers.UUIDField(read_only=True)
    organization = OrganizationSerializer(read_only=True)
    role = ChoiceField(choices=Role.choices, read_only=True)


class ReceivedInvitationSerializer(Serializer):
    organization = serializers.CharField(source="organization.name", read_only=True)
    role = ChoiceField(choices=Role.choices, read_only=True)
    invited_by = serializers.SerializerMethodField(help_text=_("The name of the person who sent the invitation."))
    expires_at = UtcDateTimeField(read_only=True)

    def get_invited_by(self, invitation: Invitation) -> str:
        return get_display_name(invitation.invited_by)


class OwnInvitationSerializer(ReceivedInvitationSerializer):
    id = serializers.UUIDField(read_only=True)
    email = serializers.CharField(read_only=True)


class InvitationPreviewSerializer(InvitationTokenSerializer, ReceivedInvitationSerializer):
    email = serializers.SerializerMethodField(help_text=_("The invited address, masked if it is not yours."))
    is_yours = serializers.SerializerMethodField(help_text=_("Whether the invitation is for an address of yours."))

    def get_email(self, invitation: Invitation) -> str:
        return invitation.email if self.get_is_yours(invitation) else mask_address(invitation.email)

    def get_is_yours(self, invitation: Invitation) -> bool:
        return invitation.is_for(self.context["request"].user)


class AuditEntrySerializer(Serializer):
    id = serializers.UUIDField(read_only=True)
    created_at = UtcDateTimeField(read_only=True)
    event = ChoiceField(choices=Event.choices, read_only=True)
    actor = serializers.CharField(read_only=True)
    # The primary key of the project's user model can have any type.
    user_id = serializers.CharField(read_only=True, allow_null=True)
    api_key_id = serializers.UUIDField(read_only=True, allow_null=True)
    address = serializers.CharField(read_only=True)
    target_model = serializers.CharField(read_only=True)
    target_id = serializers.UUIDField(read_only=True)
    target = serializers.CharField(read_only=True)
    old_values = serializers.DictField(read_only=True)
    new_values = serializers.DictField(read_only=True)


class AuditFilterSerializer(serializers.Serializer[Any]):
    event = ChoiceField(choices=Event.choices, required=False)
    actor = TextField(max_length=255, required=False)
    target_id = serializers.UUIDField(required=False)
    since = UtcDateTimeField(source="created_at__gte", required=False)
    until = UtcDateTimeField(source="created_at__lt", required=False)


class MomentField(UtcDateTimeField):
    """Accept a time of the years that have usage, and return it with its time zone, whatever ``USE_TZ`` is."""

    def enforce_timezone(self, value: datetime) -> datetime:
        if not timezone.is_naive(value) and not FIRST_YEAR <= value.year < datetime.max.year:
            self.fail("overflow")
        value = super().enforce_timezone(value)
        return timezone.make_aware(value) if timezone.is_naive(value) else value


class UsageQuerySerializer(serializers.Serializer[Any]):
    interval = ChoiceField(choices=list(INTERVALS), default="day")

    def get_fields(self) -> dict[str, Any]:
        # ``from`` is a keyword of Python.
        return {"from": MomentField(required=False), "to": MomentField(required=False), **super().get_fields()}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        interval = attrs["interval"]
        end = attrs.get("to", datetime.now(UTC))
        # The last 30 days end with the current interval.
        start = attrs.get(
            "from", end - timedelta(days=30) + timedelta(hours=INTERVALS[interval]) - timedelta.resolution
        )
        if start >= end:
            raise serializers.ValidationError({"from": [_("This time should be before the end of the range.")]})
        if end - start > timedelta(days=MAX_USAGE_DAYS[interval]):
            message = _("Choose at most {days} days with the interval {interval}.")
            values = {"days": MAX_USAGE_DAYS[interval], "interval": interval}
            raise serializers.ValidationError({"from": [message.format(**values)]})
        return {"start": start, "end": end, "interval": interval}


class PointSerializer(Serializer):
    start = UtcDateTimeField(read_only=True)
    requests = serializers.IntegerField(read_only=True)
    refused = serializers.IntegerField(read_only=True)


class UsageSerializer(Serializer):
    interval = ChoiceField(choices=list(INTERVALS), read_only=True)
    requests = serializers.IntegerField(read_only=True, help_text=_("Requests within the limits."))
    refused = serializers.IntegerField(read_only=True, help_text=_("Requests over a limit (429)."))
    points = PointSerializer(many=True, read_only=True)

    def get_fields(self) -> dict[str, Any]:
        return {
            "from": UtcDateTimeField(read_only=True, source="start"),
            "to": UtcDateTimeField(read_only=True, source="end"),
            **super().get_fields(),
        }


class WindowSerializer(Serializer):
    limit = serializers.IntegerField(read_only=True, source="window.limit")
    period = serializers.IntegerField(read_only=True, source="window.period", help_text=_("Length in seconds."))
    remaining = serializers.IntegerField(read_only=True)
    reset = serializers.IntegerField(read_only=True, help_text=_("Seconds until the window resets."))


class OwnKeySerializer(Serializer):
    id = serializers.UUIDField(read_only=True)
    prefix = ChoiceField(choices=KeyType.choices, read_only=True)
    hint = serializers.CharField(read_only=True)
    name = serializers.CharField(read_only=True)
    expires_at = UtcDateTimeField(read_only=True, allow_null=True)
    permissions = serializers.ListField(child=serializers.CharField(), read_only=True, allow_null=True)
    restricted_to = serializers.UUIDField(source="restricted_to_id", read_only=True, allow_null=True)
    limits = WindowSerializer(many=True, read_only=True, allow_null=True, help_text=_("Null if the counters fail."))


class OwnOrganizationSerializer(Serializer):
    id = serializers.UUIDField(read_only=True, source="organization.pk")
    name = serializers.CharField(read_only=True, source="organization.name")
    slug = serializers.SlugField(read_only=True)
    role = ChoiceField(choices=Role.choices, read_only=True, allow_null=True)
    permissions = serializers.ListField(child=serializers.CharField(), read_only=True)


class OwnedOrganizationSerializer(Serializer):
    id = serializers.UUIDField(read_only=True)
    name = serializers.CharField(read_only=True)
    slug = serializers.SlugField(read_only=True)


class MeSerializer(Serializer):
    type = ChoiceField(choices=["user", "organization"], read_only=True)
    username = serializers.CharField(read_only=True, allow_null=True)
    key = OwnKeySerializer(read_only=True, allow_null=True, help_text=_("Null for sessions and publishable keys."))
    organizations = OwnOrganizationSerializer(many=True, read_only=True)
    organizations_owned_alone = OwnedOrganizationSerializer(
        many=True, read_only=True, help_text=_("Without this user, they would have no active Owner.")
    )
