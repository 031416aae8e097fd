from __future__ import annotations

import pytest

from closient_auth import signals
from tests.factories import make_key


@pytest.fixture
def heard(django_capture_on_commit_callbacks):
    """Return a function to run an operation and return the pk, target id and text of each received row."""

    def heard(event, operation):
        seen = []
        receive = lambda entry, instance, **kwargs: seen.append((instance.pk, entry.target_id, str(instance)))  # noqa: E731
        signal = getattr(signals, event)
        signal.connect(receive)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                operation()
        finally:
            signal.disconnect(receive)
        return seen

    return heard


@pytest.mark.parametrize("way", ["remove", "delete"])
def test_member_who_was_removed_is_told_apart(heard, join, way):
    join("owner")
    member = join("editor", user__username="eli")
    pk = member.pk

    assert heard("member_removed", getattr(member, way)) == [(pk, pk, "eli: Editor")]
    assert member.pk is None


def test_organization_that_was_deleted_is_told_apart(heard, organization):
    pk = organization.pk

    assert heard("organization_deleted", organization.delete) == [(pk, pk, "Acme Foods")]


def test_receiver_gets_the_row_as_it_was_then(heard, organization):
    """Changes to the caller's instance before the commit, such as a raw key in its name, do not reach the receivers."""

    def operation():
        key, raw_key = make_key(organization=organization, name="Shop")
        key.name = raw_key

    ((_, _, text),) = heard("api_key_created", operation)
    assert text.endswith(" Shop")
