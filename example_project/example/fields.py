"""Fields whose description says all that they refuse."""

from __future__ import annotations

from typing import Any

from django.core.validators import RegexValidator
from rest_framework import serializers


class Strings:
    """Takes strings alone, where REST framework takes the numbers of JSON as well."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class TextField(Strings, serializers.CharField):
    """Text has no NUL, since no PostgreSQL keeps it; and is more than space, unless it may be blank."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        pattern = r"^[^\x00]+\Z" if self.allow_blank else r"^[^\x00]*[^\x00\s][^\x00]*\Z"
        self.validators.append(RegexValidator(pattern))
