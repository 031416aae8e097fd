from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.factories import MembershipFactory, make_key
from tests.models import Document, Folder, Tag

# The tests replace this id and that of a foreign row, and compare the responses.
NEVER_WAS = 987_654_321


def make_rows(organization, name):
    folder = Folder.objects.create(organization=organization, name=f"{name} folder")
    tag = Tag.objects.create(organization=organization, name=f"{name} tag")
    document = Document.objects.create(organization=organization, title=f"{name} document", folder=folder)
    document.tags.add(tag)
    return SimpleNamespace(organization=organization, folder=folder, tag=tag, document=document)


@pytest.fixture
def own(acme):
    return make_rows(acme, "Own")


@pytest.fixture
def foreign(globex):
    return make_rows(globex, "Foreign")


@pytest.fixture(params=["csb", "csu", "session"])
def credential(request, acme):
    """Return the arguments of ``call`` for each kind of credential of ``acme``."""
    if request.param == "csb":
        return {"raw_key": make_key("csb", organization=acme)[1]}
    member = MembershipFactory.create(organization=acme, role="editor")
    return {"user": member.user} if request.param == "session" else {"raw_key": make_key("csu", user=member.user)[1]}


@pytest.fixture
def send(call, credential):
    """Return a function to send a request with the credential. It checks that the rows change only if the request succeeds."""

    def send(path="/", method="get", data=None, **headers):
        before = get_all_rows()
        response = call(path, method=method, data=data, **credential, **headers)
        if method == "get" or response.status_code >= 400:
            assert get_all_rows() == before
        return response

    return send


def get_all_rows():
    models = (Folder, Tag, Document, Document.tags.through)
    return [list(model._default_manager.order_by("pk").values_list()) for model in models]


@pytest.fixture
def compare(send):
    """Return a function to send one request with the id of a foreign row and one with an id that never was.

    It returns the status and the body, which should be equal but for the id.
    """

    def compare(make_request, foreign_id, unknown_id=NEVER_WAS):
        answers = [send(**make_request(pk)) for pk in (foreign_id, unknown_id)]
        bodies = [
            answer.content.decode().replace(str(pk), "ID")
            for answer, pk in zip(answers, (foreign_id, unknown_id), strict=True)
        ]
        assert answers[0].status_code == answers[1].status_code
        assert bodies[0] == bodies[1]
        return answers[0].status_code, bodies[0]

    return compare
