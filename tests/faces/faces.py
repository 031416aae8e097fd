"""All faces."""

from __future__ import annotations

from tests.faces import adrf, drf, ninja, plain

FACES = [*drf.FACES, *adrf.FACES, *plain.FACES, *ninja.FACES]
