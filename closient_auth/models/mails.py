"""The texts of the mails. They contain names that members of an organization choose."""

from collections.abc import Mapping
from typing import Any

from django.template.loader import render_to_string


def to_line(name: str) -> str:
    """Return the name with spaces for control and bidi characters, so it cannot inject lines or reverse text in a mail."""
    return "".join(character if character.isprintable() else " " for character in name)


def render_mail(template: str, context: Mapping[str, Any]) -> tuple[str, str]:
    """Return the subject and the body of a mail, from ``<template>_subject.txt`` and ``<template>.txt``."""
    subject = render_to_string(f"closient_auth/{template}_subject.txt", context)
    return " ".join(subject.split()), render_to_string(f"closient_auth/{template}.txt", context)
