"""Read and fill in the pages about keys."""

from __future__ import annotations

import re
from datetime import UTC, timedelta

from django.utils import timezone

from closient_auth.models import ApiKey, ApiKeyUsage

NEW = "/settings/o/acme/keys/new/"


def change(api_key, **values):
    """Write columns that people cannot write, and return the key."""
    ApiKey.objects.filter(pk=api_key.pk).update(**values)
    api_key.refresh_from_db()
    return api_key


def get_names(page):
    return re.findall(r'class="ca-name"[^>]*>([^<]*)<', page)


def get_fields(response):
    """Return what a browser sends for the form of a page."""
    form = response.context["form"]
    data = {}
    for bound in form:
        for name, value in ((bound.html_name, bound.value()), (bound.html_initial_name, bound.initial)):
            if name == bound.html_initial_name and not bound.field.show_hidden_initial:
                continue
            if isinstance(value, list) and name == bound.html_initial_name:
                value = "\n".join(value)
            if value is not None:
                data[name] = value
    return data


def find_secret(response):
    """Return the raw key on the page that shows it."""
    (secret,) = re.findall(r'<textarea id="ca-key"[^>]*>([^<]*)<', response.text)
    return secret


def is_in(api_key, lifetime):
    """Return whether a key expires after this time, within a minute."""
    return abs(api_key.expires_at - timezone.now() - lifetime) < timedelta(minutes=1)


def create(client, url=NEW, **values):
    return client.post(url, get_fields(client.get(url)) | {"name": "Server"} | values)


def use(api_key, moment, requests, refused=0):
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    ApiKeyUsage.objects.create(family=api_key.family, hour=hour, requests=requests, refused=refused)
