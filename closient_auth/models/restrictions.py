"""The restrictions of API keys. A restriction only takes away: an unknown or malformed value takes away everything.

``ApiKey`` stores lists of texts. The fields below refuse other values when they are written, and ``read_…()`` reads a value
from a row, where another program may have written it.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from closient_auth.models.organizations import Organization, OrganizationQuerySet
from closient_auth.roles import KeyHolder, KeyRules, get_all_permissions

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# The fields of ``RestrictedModel`` that people set.
RESTRICTIONS = ("permissions", "restricted_to", "allowed_networks", "allowed_origins")
# Each request compares its client with every entry.
MAX_ENTRIES = 100
# An error repeats at most this many characters of a value.
MAX_QUOTED = 100
# A scheme, a host in ASCII characters, and maybe a port (RFC 6454, section 6.2; RFC 3986, section 3.2.2).
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
# Browsers leave these ports out of an origin (RFC 6454, section 6.2).
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class MalformedError(ValueError):
    """A row has a restriction that this package did not write."""


class RestrictionField(models.JSONField):
    """A list of texts. Validation replaces each text by its usual spelling."""

    # Otherwise ``clean_fields()`` would accept ``{}``, an empty text and ``None`` without validation.
    empty_values = ()
    maximum: int | None = MAX_ENTRIES

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        # Each request reads these columns, and nearly all of them are empty.
        return [] if value == "[]" else super().from_db_value(value, expression, connection)

    def clean(self, value: Any, model_instance: Any) -> Any:
        if value is None:
            return super().clean(value, model_instance)
        if not _is_list_of_texts(value):
            raise ValidationError(_("Write this as a list of texts."), code="not_a_list")
        if self.maximum is not None and len(value) > self.maximum:
            message = _("This list has more than %(maximum)d entries.")
            raise ValidationError(message, code="too_many", params={"maximum": self.maximum})
        return super().clean(list(dict.fromkeys(map(self.normalize, value))), model_instance)

    def normalize(self, text: str) -> str:
        """Return the usual spelling of an entry. Raise ``ValidationError`` for an invalid one."""
        return str(text)


class PermissionsField(RestrictionField):
    """Names of permissions. ``None`` is no restriction, and an empty list leaves no permission."""

    def normalize(self, text: str) -> str:
        if text not in (known := get_all_permissions()):
            message = _("“%(name)s” is not a known permission. Choose from: %(known)s.")
            params = {"name": text[:MAX_QUOTED], "known": ", ".join(sorted(known))}
            raise ValidationError(message, code="unknown_permission", params=params)
        return super().normalize(text)


class NetworksField(RestrictionField):
    """Networks in CIDR notation (RFC 4632) or single addresses. An empty list is no restriction."""

    def normalize(self, text: str) -> str:
        try:
            return str(_to_network(text))
        except ValueError as error:
            network = _read_loosely(text)
            message = _("“%(network)s” is not a network such as 203.0.113.0/24 or 2001:db8::/32.")
            if network is not None:
                message = _("“%(network)s” has an address inside of the network. Did you mean %(meant)s?")
            params = {"network": text[:MAX_QUOTED], "meant": network}
            raise ValidationError(message, code="bad_network", params=params) from error


class OriginsField(RestrictionField):
    """Origins of web pages (RFC 6454), such as ``https://www.example.com``. An empty list is no restriction."""

    def normalize(self, text: str) -> str:
        origin = _to_origin(text)
        if origin is None:
            message = _(
                "“%(origin)s” is not an origin such as https://www.example.com. Write the scheme and the host, maybe a port, "
                "and no path or wildcard."
            )
            raise ValidationError(message, code="bad_origin", params={"origin": text[:MAX_QUOTED]})
        return origin


class OrganizationIdsField(RestrictionField):
    """Ids of organizations. Their number is that of the organizations that do something about a key."""

    maximum = None

    def normalize(self, text: str) -> str:
        try:
            return str(UUID(text))
        except ValueError as error:
            message = _("“%(id)s” is not the id of an organization.")
            raise ValidationError(message, code="bad_id", params={"id": text[:MAX_QUOTED]}) from error


def read_ids(value: object) -> frozenset[str]:
    """Return the ids of organizations in a row. Raise ``MalformedError``."""
    if value == []:
        return frozenset()
    try:
        return frozenset(str(UUID(text)) for text in _read_texts(value))
    except ValueError:
        raise MalformedError from None


def read_permissions(value: object) -> frozenset[str] | None:
    """Return the permissions in a row, or ``None`` for no restriction. Raise ``MalformedError``, also for unknown names."""
    if value is None:
        return None
    permissions = frozenset(_read_texts(value))
    if not permissions <= get_all_permissions():
        raise MalformedError
    return permissions


def filter_open(organizations: OrganizationQuerySet, api_key: Any) -> OrganizationQuerySet:
    """Return the organizations without those that refuse a user key; all of them for another key or ``None``."""
    if api_key is None or api_key.user_id is None:
        return organizations
    try:
        found = organizations.filter(user_keys_allowed=True).exclude(pk__in=read_ids(api_key.shut_out_of))
    except MalformedError:
        return organizations.none()
    return found if api_key.restricted_to_id is None else found.filter(pk=api_key.restricted_to_id)


def is_address_in(address: Address | None, value: object) -> bool:
    """Return whether an address is in one of the networks of a row; an unknown one is not. Raise ``MalformedError``."""
    networks = [_read_network(text) for text in _read_texts(value)]
    return address is not None and any(address in network for network in networks)


def is_origin_in(origin: str | None, referer: str | None, value: object) -> bool:
    """Return whether the ``Origin`` of a request, or else the origin of its ``Referer``, is one of those in a row.

    Raise ``MalformedError``.
    """
    origins = [_read_origin(text) for text in _read_texts(value)]
    if origin is None and referer is not None:
        origin = _get_referring_origin(referer)
    return origin in origins


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(isinstance(text, str) for text in value)


def _read_texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not _is_list_of_texts(value):
        raise MalformedError
    return value


# Each request with a restricted key reads the networks and origins again.
@lru_cache(maxsize=1024)
def _read_network(text: str) -> Network:
    try:
        return _to_network(text)
    except ValueError:
        raise MalformedError from None


@lru_cache(maxsize=1024)
def _read_origin(text: str) -> str:
    # Sandboxed pages of anybody have the origin ``null``.
    origin = _to_origin(text)
    if origin is None:
        raise MalformedError
    return origin


def _to_network(text: str) -> Network:
    network = ip_network(text)
    # The address of a client is never one of these (RFC 4291, section 2.5.5.2).
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None and network.prefixlen >= 96:
        return IPv4Network((mapped, network.prefixlen - 96))
    return network


def _read_loosely(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _to_origin(text: str) -> str | None:
    text = text.lower()
    match = ORIGIN.fullmatch(text)
    if match is None:
        return None
    port = match[3] or ""
    if port == DEFAULT_PORTS.get(text.partition(":")[0]):
        return text.removesuffix(port)
    return text if int(port[1:] or 0) <= 65_535 else None


def _get_referring_origin(referer: str) -> str | None:
    try:
        parts = urlsplit(referer)
    except ValueError:
        return None
    return _to_origin(f"{parts.scheme}://{parts.netloc}")


class RestrictedModel(models.Model):
    """The restrictions of a key. Each of them only takes away from what the key's type or user may do."""

    # A field of ``ApiKey``.
    user_id: Any

    permissions = PermissionsField(
        _("permissions"),
        null=True,
        blank=True,
        help_text=_("The permissions that the key may use of those that its type or its user has; null for all."),
    )
    # SET_NULL would make a key of one organization a key of all.
    restricted_to = models.ForeignKey(
        Organization,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="restricted_user_keys",
        verbose_name=_("restricted to"),
        help_text=_("The only organization in which a user key works."),
    )
    allowed_networks = NetworksField(
        _("allowed networks"),
        default=list,
        blank=True,
        help_text=_("Networks of the clients that may use the key, such as 203.0.113.0/24; none for all networks."),
    )
    allowed_origins = OriginsField(
        _("allowed origins"),
        default=list,
        blank=True,
        help_text=_(
            "Origins of the web pages that may use a publishable key, such as https://www.example.com; none for all."
        ),
    )
    # The ids of organizations that have shut out this user key. No foreign key is needed: the id of a deleted organization
    # does no harm, and each request reads this row anyway.
    shut_out_of = OrganizationIdsField(default=list, blank=True, editable=False)

    class Meta:
        abstract = True

    def validate_restrictions(self, rules: KeyRules, names: Collection[str] = RESTRICTIONS) -> None:
        """Raise ``ValidationError`` if one of these restrictions is not for this type of key."""
        if "restricted_to" in names and self.restricted_to_id is not None and rules.holder != KeyHolder.USER:
            error = ValidationError(
                _("A key of an organization works in this organization only."), code="not_a_user_key"
            )
            raise ValidationError({"restricted_to": error})
        if "allowed_origins" in names and self.allowed_origins and not rules.is_public:
            error = ValidationError(_("Only publishable keys can have allowed origins."), code="not_publishable")
            raise ValidationError({"allowed_origins": error})

    def is_shut_out_of(self, organization: Organization) -> bool:
        """Return whether an organization has shut out this key. A malformed list of organizations means all of them."""
        try:
            return str(organization.pk) in read_ids(self.shut_out_of) if self.shut_out_of != [] else False
        except MalformedError:
            return True

    @property
    def is_restricted(self) -> bool:
        """Whether the key can do less than its type and its user."""
        lists = (self.allowed_networks, self.allowed_origins, self.shut_out_of)
        return self.permissions is not None or self.restricted_to_id is not None or lists != ([], [], [])

    def narrow(self, granted: frozenset[str], organization: Organization) -> frozenset[str]:
        """Return what the restrictions leave of the permissions of the key's type or user in an organization.

        Call ``Organization.get_effective_permissions()`` instead. Malformed restrictions leave nothing.
        """
        if self.restricted_to_id not in (None, organization.pk):
            return frozenset()
        if self.user_id is not None and not organization.user_keys_allowed:
            return frozenset()
        if self.is_shut_out_of(organization):
            return frozenset()
        try:
            permissions = read_permissions(self.permissions)
        except MalformedError:
            return frozenset()
        return granted if permissions is None else granted & permissions
