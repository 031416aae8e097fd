"""The body of a request does not lead to another organization."""

from uuid import uuid4

import pytest

from tracker.models import Project, Report


@pytest.fixture(params=["csb", "csu", "session"])
def credential(request, world, acme):
    if request.param == "session":
        return "member"
    return world.make_key(request.param, acme if request.param == "csb" else "member")[1]


def test_foreign_tags_do_not_exist(world, acme, rival, send, get_url, credential):
    (project, report, tag), (_, _, foreign) = world.make_rows(acme), world.make_rows(rival)
    path = get_url(acme, f"projects/{project.pk}/reports")

    for unknown in (foreign.pk, uuid4()):
        for method, url, data in [("post", path, {"title": "new"}), ("patch", f"{path}/{report.pk}", {})]:
            refused = send(url, credential, method, {**data, "tags": [str(tag.pk), str(unknown)]})
            assert (refused.status_code, refused.data) == (
                400,
                {"tags": [f'Invalid pk "{unknown}" - object does not exist.']},
            )
    assert list(foreign.reports.values_list("title", flat=True)) == [f"Report of {rival}"]
    assert list(report.tags.all()) == [tag]
    assert Report.objects.count() == 2


def test_organization_in_the_body_is_ignored(world, acme, rival, send, get_url, credential):
    for value in (str(rival.pk), rival.name):
        body = {"name": f"new {value}", "organization": value, "organization_id": value}
        made = send(get_url(acme), credential, "post", body)
        assert made.status_code == 201
        assert Project.objects.get(pk=made.data["id"]).organization == acme
    assert not rival.projects.exists()
