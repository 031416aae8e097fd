"""The faces behind real servers, each below its number, and views that wait."""

from __future__ import annotations

from django.urls import include, path

# Slow machines must not look like an outage of Redis.
from tests import patient  # noqa: F401
from tests.faces.faces import FACES

urlpatterns = [
    path("waiting/", include("tests.faces.waiting")),
    *(path(f"{number}/", include(list(face.patterns))) for number, face in enumerate(FACES)),
]
