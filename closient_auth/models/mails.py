"""The texts of the mails. They contain names that members of an organization choose."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.core.mail import send_mail
from django.template.loader import render_to_string

from closient_auth.conf import conf
from closient_auth.models.addresses import fold_address, get_address_field, get_verified_addresses
from closient_auth.models.people import get_full_name

# A longer name could be a text of its own.
MAX_NAME_LENGTH = 60
# A space after each of these leaves no URL or address that a mail program would turn into a link. The others are the full
# stops that a browser takes for a dot (IDNA).
LINK_PARTS = re.compile(r"(?<=[.:\\@\u2024\u3002\uff0e\uff61])(?=\S)")
PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9_+.-]+@[A-Za-z0-9.-]+")


class Secret(str):
    """A text for a template that an error report does not show: it contains the ``repr()`` of variables.

    ``sensitive_variables()`` does not reach a frame that has ended, such as that of a template that another one includes in vain:
    on Python 3.11 its callers are unknown.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class Mail(NamedTuple):
    subject: str
    body: str
    html: str

    def send(self, address: str) -> str:
        """Send the mail. Return the type of the error, or an empty text."""
        try:
            accepted = send_mail(self.subject, self.body, None, [address], html_message=self.html)
        except Exception as error:
            # The type only: the text of the error could contain the body or the address.
            return type(error).__name__
        # A backend that fails silently says that it sent nothing.
        return "not_accepted" if accepted == 0 else ""


def defuse(name: str) -> str:
    """Return a name that is safe in a mail of the project: one short line without links.

    Control and bidi characters become spaces, so that the name cannot inject lines or reverse text.
    """
    printable = "".join(character if character.isprintable() else " " for character in name)
    line = " ".join(LINK_PARTS.sub(" ", printable).split())
    return line if len(line) <= MAX_NAME_LENGTH else f"{line[: MAX_NAME_LENGTH - 1].rstrip()}…"


def get_display_name(user: Any) -> str:
    """Return the full name of a user, or else the username, for a mail."""
    # Many projects have the address as the username.
    return defuse(get_full_name(user)) or defuse(user.get_username().partition("@")[0])


def get_display_address(user: Any) -> str:
    """Return the e-mail address of a user for a mail, or an empty text.

    A mail names no address that could be a text of its own, and none that the project has not verified, if it says which it
    has (setting ``VERIFIED_ADDRESSES``): a mail of the project would vouch for somebody else's.
    """
    address = str(getattr(user, get_address_field() or "", None) or "")
    if conf.VERIFIED_ADDRESSES and fold_address(address) not in get_verified_addresses(user):
        return ""
    return address if len(address) <= MAX_NAME_LENGTH and PLAIN_ADDRESS.fullmatch(address) else ""


def render_mail(template: str, context: Mapping[str, Any]) -> Mail:
    """Return a mail from ``<template>_subject.txt``, ``<template>.txt`` and ``<template>.html``."""
    subject, body, html = (
        render_to_string(f"closient_auth/{template}{suffix}", context) for suffix in ("_subject.txt", ".txt", ".html")
    )
    return Mail(" ".join(subject.split()), body, html)
