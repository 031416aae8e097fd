from __future__ import annotations

from importlib.metadata import version as get_version

import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "closient_auth"],
)
django.setup()

project = "closient-auth"
author = "closient-auth contributors"
version = release = get_version(project)

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
# README.md and CHANGELOG.md are included, and their links are relative to the repository.
suppress_warnings = ["myst.xref_missing"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"

html_theme = "furo"
html_title = "closient-auth"
