"""Serializer fields with the same rules as their OpenAPI description."""

from __future__ import annotations

from typing import Any

from django.core.validators import RegexValidator
from rest_framework import serializers


class Strings:
    """Accept only JSON strings. REST framework's fields accept numbers as well."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class TextField(Strings, serializers.CharField):
    """Refuse NUL characters, because PostgreSQL cannot store them, and blank text unless ``allow_blank`` is set."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        pattern = r"^[^\x00]+\Z" if self.allow_blank else r"^[^\x00]*[^\x00\s][^\x00]*\Z"
        self.validators.append(RegexValidator(pattern))
