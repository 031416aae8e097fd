"""The example for Django's tasks, and the warnings of the page."""

from __future__ import annotations

import django
import pytest
from django.test import RequestFactory

from closient_auth.contrib.django import organization_permission_required
from closient_auth.keys import hash_api_key
from closient_auth.models import ApiKey, AuditEntry
from tests.factories import make_key

needs_tasks = pytest.mark.skipif(django.VERSION < (6, 0), reason="Django 6.0 added tasks")


@needs_tasks
def test_task_acts_for_the_key(shop, settings, acme):
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}
    from django.tasks import default_task_backend

    tasks = shop("tasks")
    api_key, raw_key = make_key("csb", organization=acme)
    request = RequestFactory().get("/", headers={"X-API-Key": raw_key})
    organization_permission_required("organization.manage_billing")(
        lambda request: tasks.enqueue_rename(request, "Alpine")
    )(request)
    (result,) = default_task_backend.results  # type: ignore[attr-defined]

    result.task.call(*result.args)

    acme.refresh_from_db()
    assert acme.name == "Alpine"
    assert AuditEntry.objects.latest("created_at").api_key_id == api_key.pk
    api_key.revoke()
    with pytest.raises(ApiKey.DoesNotExist):
        result.task.call(*result.args)


@pytest.mark.django_db
def test_query_by_hash_finds_revoked_keys():
    api_key, raw_key = make_key("csb")
    api_key.revoke()

    assert ApiKey.objects.get(hashed_key=hash_api_key(raw_key)) == api_key
