"""Access with publishable keys. Anyone can read such a key in the source of a page."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.urls import path
from django.views.decorators.cache import never_cache
from rest_framework.decorators import action, api_view, permission_classes
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet, ViewSet

from closient_auth.decorators import publishable, required_permissions
from closient_auth.permissions import HasOrganizationPermission
from tests.factories import OrganizationFactory, make_key
from tests.models import Note, Project
from tests.views import NoteSerializer

pytestmark = pytest.mark.django_db

REFUSED = {
    "detail": "Publishable keys cannot make this request. Use a business or user key.",
    "code": "publishable_key_refused",
}


class View(APIView):
    permission_classes = [HasOrganizationPermission]

    def get(self, request):
        return Response()

    def post(self, request):
        return Response()


@publishable
class OpenView(View):
    pass


class OpenMethod(View):
    @publishable
    def get(self, request):
        return Response()

    @publishable
    def post(self, request):
        return Response()


class OpenActions(ViewSet):
    permission_classes = [HasOrganizationPermission]

    def list(self, request):
        return Response()

    @publishable
    def retrieve(self, request, pk):
        return Response()

    @publishable
    @action(detail=False, methods=["get", "post"])
    def above(self, request):
        return Response()

    @action(detail=False)
    @publishable
    def below(self, request):
        return Response()

    @action(detail=False)
    def closed(self, request):
        return Response()


@publishable
@api_view(["GET", "POST"])
@permission_classes([HasOrganizationPermission])
def open_function(request):
    return Response()


@publishable
@never_cache
@api_view(["GET"])
@permission_classes([HasOrganizationPermission])
def wrapped_function(request):
    return Response()


@api_view(["GET"])
@publishable
def decorated_below(request):
    return Response()


@api_view(["GET"])
def closed_function(request):
    return Response()


class Inherited(OpenView):
    pass


class Overriding(OpenMethod):
    def get(self, request):
        return Response()


class Forgotten(View):
    """A view without permission classes."""

    permission_classes = []


@publishable
class ForgottenOpen(Forgotten):
    pass


router = SimpleRouter()
router.register("actions", OpenActions, basename="actions")


@pytest.fixture(autouse=True)
def urls(mount):
    mount(
        path("closed/", View.as_view()),
        path("class/", OpenView.as_view()),
        path("method/", OpenMethod.as_view()),
        path("inherited/", Inherited.as_view()),
        path("overriding/", Overriding.as_view()),
        path("function/", open_function),
        path("wrapped-function/", wrapped_function),
        path("decorated-below/", decorated_below),
        path("closed-function/", closed_function),
        path("forgotten/", Forgotten.as_view()),
        path("forgotten-open/", ForgottenOpen.as_view()),
        path("public/", View.as_view(permission_classes=[AllowAny])),
        *router.urls,
    )


# Statuses for a publishable key: GET, HEAD, OPTIONS, POST.
ANSWERS = {
    "/closed/": (403, 403, 403, 403),
    "/class/": (200, 200, 200, 403),
    "/method/": (200, 200, 403, 403),
    "/inherited/": (200, 200, 200, 403),
    "/overriding/": (403, 403, 403, 403),
    "/actions/": (403, 403, 403, 403),
    "/actions/1/": (200, 200, 403, 403),
    "/actions/above/": (200, 200, 403, 403),
    "/actions/below/": (200, 200, 403, 403),
    "/actions/closed/": (403, 403, 403, 403),
    "/function/": (200, 405, 200, 403),
    "/wrapped-function/": (200, 405, 200, 403),
    "/decorated-below/": (403, 403, 403, 403),
    "/closed-function/": (403, 403, 403, 403),
    "/forgotten/": (403, 403, 403, 403),
    "/forgotten-open/": (200, 200, 200, 403),
    "/public/": (403, 403, 403, 403),
}


@pytest.mark.parametrize(("address", "expected"), ANSWERS.items())
def test_answers_to_a_publishable_key(call, address, expected):
    _, raw_key = make_key("cpk")

    responses = [call(address, raw_key, method=method) for method in ("get", "head", "options", "post")]

    assert tuple(response.status_code for response in responses) == expected
    assert all(
        response.json() == REFUSED
        for response in responses
        if response.status_code == HTTPStatus.FORBIDDEN and response.content
    )


def test_forms_and_options_tell_nothing_of_what_it_may_not_send(call, mount):
    """Both call permissions with a copy of the authenticated request. A form lists the rows of its choices."""

    class WholeNoteSerializer(NoteSerializer):
        class Meta(NoteSerializer.Meta):
            fields = [*NoteSerializer.Meta.fields, "project"]

    @publishable
    class Notes(ModelViewSet[Note]):
        permission_classes = [IsAuthenticated]
        queryset = Note.objects.all()
        serializer_class = WholeNoteSerializer
        renderer_classes = [JSONRenderer, BrowsableAPIRenderer]

    mount(path("notes/", Notes.as_view({"get": "list", "post": "create"})))
    Project.objects.create(organization=OrganizationFactory.create(), name="Secret")

    for prefix, may_write in (("cpk", False), ("csb", True)):
        raw_key = make_key(prefix)[1]
        page = call("/notes/", raw_key, accept="text/html")
        options = call("/notes/", raw_key, method="options")
        assert (page.status_code, options.status_code) == (HTTPStatus.OK, HTTPStatus.OK)
        assert ("actions" in options.json()) == (b"Secret" in page.content) == may_write


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "trace", "brew"])
def test_no_other_method_passes_even_where_all_is_open(call, method):
    assert call("/forgotten-open/", make_key("cpk")[1], method=method).json() == REFUSED


class WithTenant(APIView):
    @property
    def tenant(self):
        return self.request.user


@pytest.mark.parametrize(
    ("prefix", "status"),
    [
        (None, HTTPStatus.UNAUTHORIZED),
        ("csb", HTTPStatus.METHOD_NOT_ALLOWED),
        ("csu", HTTPStatus.METHOD_NOT_ALLOWED),
        ("cpk", HTTPStatus.FORBIDDEN),
    ],
)
def test_method_with_the_name_of_a_property(call, mount, prefix, status):
    """The property needs the user of the request, who is not known yet."""
    mount(WithTenant.as_view())

    response = call("/", make_key(prefix)[1] if prefix else "csb_junk", method="tenant")

    assert response.status_code == status
    assert response.json().get("code") == {401: "invalid_api_key", 403: "publishable_key_refused"}.get(status)


@pytest.mark.parametrize(
    ("permission", "status"),
    [
        ("organization.view_organization", 200),
        ("organization.contribute_organization", 403),
        ("organization.manage_billing", 403),
        ("organization.manage_api_keys", 403),
        ("organization.manage_members", 403),
        ("organization.delete_organization", 403),
        ("offers.publish", 403),
    ],
)
def test_it_may_view_and_no_more(call, mount, settings, permission, status):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"owner": ["offers.publish"], "editor": ["offers.publish"]}}

    @publishable
    @required_permissions(permission)
    @api_view(["GET"])
    @permission_classes([HasOrganizationPermission])
    def function(request):
        return Response()

    mount(function)
    assert call("/", make_key("cpk")[1]).status_code == status
    assert call("/", make_key("csb")[1]).status_code == HTTPStatus.OK


def test_refused_one_is_not_counted_as_used(call):
    api_key, raw_key = make_key("cpk")

    call("/closed/", raw_key)
    api_key.refresh_from_db()
    assert api_key.last_used is None

    call("/class/", raw_key)
    api_key.refresh_from_db()
    assert api_key.last_used is not None


def test_no_other_credential_is_held_to_it(call):
    assert call("/closed/", make_key("csb")[1]).status_code == HTTPStatus.OK
    assert call("/public/").status_code == HTTPStatus.OK


@pytest.mark.parametrize("decorator", [publishable, required_permissions("organization.manage_billing")])
@pytest.mark.parametrize("view", [View, OpenActions])
def test_view_made_of_a_class_is_not_decorated(decorator, view):
    """The mark would be set on the class, and so on its other routes."""
    made = view.as_view({"get": "list"}) if view is OpenActions else view.as_view()

    with pytest.raises(TypeError, match=rf"^Decorate the class {view.__qualname__}, not the view returned by as_view"):
        decorator(made)
    assert not hasattr(view, "closient_auth_publishable")
    assert not hasattr(view, "required_permissions")
