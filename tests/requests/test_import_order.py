"""REST framework imports this package from its settings during its own import, so any order has to work."""

from __future__ import annotations

import subprocess
import sys

HOST = """
import importlib
import os
import sys

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="only-for-tests",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "closient_auth"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [
            "closient_auth.authentication.ApiKeyAuthentication",
            "rest_framework.authentication.SessionAuthentication",
        ],
        "DEFAULT_PERMISSION_CLASSES": ["closient_auth.permissions.HasOrganizationPermission"],
        "DEFAULT_FILTER_BACKENDS": ["closient_auth.filters.OrganizationFilterBackend"],
        "DEFAULT_THROTTLE_CLASSES": ["closient_auth.throttling.ApiKeyRateThrottle"],
    },
)
django.setup()


def import_first(name):
    importlib.import_module(name)
    from rest_framework.generics import GenericAPIView as View

    chosen = [View.authentication_classes[0], *View.permission_classes, *View.filter_backends, *View.throttle_classes]
    return " ".join(f"{cls.__module__}.{cls.__name__}" for cls in chosen)


for name in sys.argv[1:]:
    # A copy of the process that has imported nothing of REST framework's views, for each.
    if os.fork() == 0:
        print(name, import_first(name), flush=True)
        os._exit(0)
    os.wait()
"""

CLASSES = [
    "closient_auth.authentication.ApiKeyAuthentication",
    "closient_auth.permissions.HasOrganizationPermission",
    "closient_auth.filters.OrganizationFilterBackend",
    "closient_auth.throttling.ApiKeyRateThrottle",
]


MODULES = [
    "closient_auth.authentication",
    "closient_auth.filters",
    "closient_auth.organizations",
    "closient_auth.permissions",
    "closient_auth.throttling",
    "rest_framework.decorators",
    "rest_framework.views",
]


def test_each_module_may_be_imported_first():
    child = subprocess.run([sys.executable, "-c", HOST, *MODULES], capture_output=True, text=True, timeout=60)

    assert child.stderr == ""
    assert child.stdout.splitlines() == [" ".join([module, *CLASSES]) for module in MODULES]
