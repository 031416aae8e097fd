"""Compare the e-mail addresses of users and invitations."""

from collections.abc import Callable, Iterable
from typing import Any
from unicodedata import normalize

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from closient_auth.conf import conf

# That of a name in the DNS (RFC 1035, 2.3.4)
MAX_DOMAIN_LENGTH = 253


def fold_address(address: str) -> str:
    """Return the e-mail address for comparison: ASCII letters in lower case, and the domain in its ASCII form (IDNA)."""
    # ``str.lower()`` would also turn the Kelvin sign (U+212A) into "k". An attacker with such an address could then
    # accept another person's invitation.
    local, at, domain = address.encode().lower().decode().rpartition("@")
    return f"{local}{at}{_to_ascii(domain)}"


def get_spellings(folded: str) -> set[str]:
    """Return the folded address, and the one with the Unicode form of its domain, as a user may have entered it."""
    local, at, domain = folded.rpartition("@")
    try:
        return {folded, f"{local}{at}{domain.encode().decode('idna')}"}
    except UnicodeError:
        return {folded}


def get_address_field() -> str | None:
    """Return the name of the user model's e-mail field, or ``None`` if the model has no such column."""
    model = get_user_model()
    name: str = model.get_email_field_name()
    return name if any(field.name == name for field in model._meta.concrete_fields) else None


def get_own_address(user: Any) -> str:
    """Return the folded address of a user's account, or an empty text. The project may not have verified it."""
    field = get_address_field()
    return fold_address(getattr(user, field) or "") if field else ""


def get_verified_addresses(user: Any) -> set[str]:
    """Return the folded addresses that the project has verified (setting ``VERIFIED_ADDRESSES``).

    Raise ``ImproperlyConfigured`` if the setting names no function.
    """
    if not conf.VERIFIED_ADDRESSES:
        return set()
    try:
        find_addresses: Callable[[Any], Iterable[str]] = import_string(conf.VERIFIED_ADDRESSES)
    except ImportError as error:
        raise ImproperlyConfigured("CLOSIENT_AUTH['VERIFIED_ADDRESSES'] should name a function.") from error
    return {fold_address(address) for address in find_addresses(user)} - {""}


def get_addresses(user: Any) -> set[str]:
    """Return the folded address of a user's account, and those that the project has verified."""
    return ({get_own_address(user)} | get_verified_addresses(user)) - {""}


def mask_address(address: str) -> str:
    """Return an address with the first letter alone of what stands before the domain."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}…{at}{domain}"


def _to_ascii(domain: str) -> str:
    # Python's codec maps some domains of other people onto each other, such as "straße" and "strasse". Convert only
    # what the codec returns unchanged.
    lowered = domain.lower()
    try:
        # The ASCII form is longer. The codec takes minutes for a long label before it refuses it.
        if domain.isascii() or len(domain) > MAX_DOMAIN_LENGTH or normalize("NFKC", domain) != domain:
            return domain
        ascii_form = lowered.encode("idna").decode()
        return ascii_form if ascii_form.encode().decode("idna") == lowered else domain
    except UnicodeError:
        return domain
