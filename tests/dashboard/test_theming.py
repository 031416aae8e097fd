"""The ways to change the look in docs/dashboard.md."""

from __future__ import annotations

import re

import pytest
from django.contrib.staticfiles import finders

from tests import settings as tests_settings
from tests.checkout import ROOT

pytestmark = pytest.mark.django_db

DOCUMENTATION = (ROOT / "docs" / "dashboard.md").read_text()
STYLE = (ROOT / "closient_auth" / "static" / "closient_auth" / "dashboard.css").read_text()
TEMPLATES = ROOT / "closient_auth" / "templates" / "closient_auth" / "dashboard"
STYLE_SHEET, SITE, BADGE = re.findall(r"^```django\n(.*?)^```$", DOCUMENTATION, re.M | re.S)
(CSS,) = re.findall(r"^```css\n(.*?)^```$", DOCUMENTATION, re.M | re.S)
LAYOUT = """<!doctype html>
<html><head><title>{% block title %}{% endblock %} at Example</title>{% block extra_head %}{% endblock %}</head>
<body><header>Example</header><main>{% block content %}Nothing here{% endblock %}</main><footer>The end</footer></body></html>
"""


@pytest.fixture
def write(settings, tmp_path):
    """Return a function to write a template of the project."""
    settings.TEMPLATES = [{**tests_settings.TEMPLATES[0], "DIRS": [tmp_path]}]

    def write(name, text):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    return write


def get_names(table):
    """Return the names in the first column of a table of the page."""
    section = DOCUMENTATION.partition(f"\n| {table} | ")[2].partition("\n\n")[0]
    return [name for cell in re.findall(r"^\| (`.+?) \|", section, re.M) for name in re.findall(r"`([\w-]+)`", cell)]


def test_table_of_properties():
    light = re.search(r":root \{(.*?)\n\}", STYLE, re.S)
    assert light is not None
    assert get_names("Property") == re.findall(r"(--ca-[\w-]+):", light[1])


def test_colours_and_sizes_are_properties():
    """Outside of the properties, no rule names a colour. The shadow of a menu is none."""
    rules = STYLE[STYLE.index(".ca, .ca *") :]

    assert re.findall(r"#[0-9a-f]{3,8}\b(?![^{]*\{)", rules, re.I) == []
    assert set(re.findall(r"rgb\([^)]*\)", rules)) == {"rgb(0 0 0 / 0.18)", "rgb(0 0 0 / 0.5)"}
    assert set(re.findall(r"var\((--ca-[\w-]+)\)", rules)) == set(get_names("Property"))


def test_dark_colours_are_the_same_in_both_ways():
    """The browser's preference and ``data-theme`` lead to the same page."""
    preferred = re.search(r':root:not\(\[data-theme="light"\]\) \{(.*?)\}', STYLE, re.S)
    chosen = re.search(r':root\[data-theme="dark"\] \{(.*?)\}', STYLE, re.S)
    assert preferred is not None
    assert chosen is not None

    read = re.compile(r"(--ca-[\w-]+): ([^;]+);").findall
    assert read(preferred[1]) == read(chosen[1])
    assert {name for name, value in read(preferred[1])} | {
        "--ca-radius",
        "--ca-font",
        "--ca-mono",
        "--ca-width",
    } == set(get_names("Property"))


def test_a_style_sheet_of_the_project(owner, write):
    write("closient_auth/dashboard/base.html", STYLE_SHEET)
    page = owner.get("/settings/o/acme/settings/").text
    (own,), package = re.findall(r'href="(/static/site/[^"]+)"', page), page.index("closient_auth/dashboard.css")

    # It comes later, so it wins.
    assert page.index(own) > package
    assert 'aria-current="page">Settings</a>' in page
    # The file of the page has properties that exist.
    assert f"static{own.removeprefix('/static')}" in CSS
    assert set(re.findall(r"(--ca-[\w-]+):", CSS)) <= set(get_names("Property"))
    assert ':root:not([data-theme="light"])' in STYLE


def test_attributes_of_the_root(owner, write):
    (block,) = re.findall(r"^`(\{% block root %\}.*?\{% endblock %\})`", DOCUMENTATION, re.M)
    write("closient_auth/dashboard/base.html", f'{{% extends "closient_auth/dashboard/base.html" %}}{block}')

    assert re.search(r'<html [^>]* data-theme="light">', owner.get("/settings/").text)


def test_pages_in_the_layout_of_the_project(owner, write):
    write("site.html", LAYOUT)
    write("closient_auth/dashboard/base.html", SITE)
    owner.post("/settings/o/acme/settings/", {"name": "Acme & Sons", "slug": "acme"})
    page = owner.get("/settings/o/acme/settings/").text

    assert "<title>Settings · Acme &amp; Sons at Example</title>" in page
    assert "<header>Example</header>" in page
    assert "<footer>The end</footer>" in page
    assert "Nothing here" not in page
    # The navigation, the message and the page stand inside of the layout.
    inside = page.partition("<main>")[2].partition("</main>")[0]
    for text in ('class="ca-switch"', 'aria-current="page">Settings</a>', "The settings are saved.", 'name="slug"'):
        assert inside.count(text) == 1
    assert page.count("<main") == page.count("<html") == 1
    for name in ("plots.css", "dashboard.css", "copy.js", "dashboard.js"):
        assert page.count(f"/static/closient_auth/{name}") == 1
        assert finders.find(f"closient_auth/{name}")


def get_blocks(path):
    return set(re.findall(r"\{% block (\w+) %\}", path.read_text()))


def test_names_of_blocks():
    """The page lists the blocks of the base template, and those that a layout should not have."""
    base = get_blocks(TEMPLATES / "base.html")
    inner = set().union(*(get_blocks(path) for path in TEMPLATES.glob("*.html") if path.name != "base.html"))
    texts = [" ".join(part.split()) for part in DOCUMENTATION.split("\n\n")]
    (of_base,) = [text for text in texts if "has the blocks `root`" in text]
    (of_pages,) = [text for text in texts if "should not have blocks with these names" in text]

    assert set(re.findall(r"`(\w+)`", of_base)) == base
    listed = of_pages.partition("should not have blocks with these names")[2]
    assert set(re.findall(r"`(\w+)`", listed)) == inner - base


def test_an_element_of_the_project(owner, write):
    write("closient_auth/dashboard/elements/badge.html", BADGE)
    write("closient_auth/dashboard/page.html", PAGE_WITH_BADGES)
    page = owner.get("/settings/o/acme/settings/").text

    assert re.findall(r'<span class="badge [^>]*>[^<]*</span>', page) == [
        '<span class="badge text-bg-success">Active</span>',
        '<span class="badge text-bg-danger">Revoked</span>',
        '<span class="badge text-bg-secondary">A &amp; B</span>',
    ]


PAGE_WITH_BADGES = """{% extends "closient_auth/dashboard/base.html" %}{% load closient_dashboard %}{% block dashboard %}
{% include "closient_auth/dashboard/elements/badge.html" with kind="good" text="Active" %}
{% include "closient_auth/dashboard/elements/badge.html" with kind="bad" text="Revoked" %}
{% element "badge" kind="off" %}A &amp; B{% endelement %}
{% endblock %}"""


def test_an_element_is_overridden_everywhere(owner, write):
    write("closient_auth/dashboard/elements/field.html", '<div class="mb-3">{{ field.label_tag }}{{ field }}</div>')

    for name in ("", "transfer/", "delete/"):
        page = owner.get(f"/settings/o/acme/settings/{name}").text
        assert 'class="mb-3"' in page
        assert 'class="ca-field"' not in page


# Values, and a class of Django.
WORDS = {"success", "info", "warning", "error", "good", "warn", "bad", "off", "primary", "danger", "Paginator"}


def test_table_of_elements():
    """The templates read the variables of the table."""
    section = DOCUMENTATION.partition("\n| Element | ")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.M))
    assert len(rows) == 11
    for name, cell in rows.items():
        text = (TEMPLATES / "elements" / f"{name}.html").read_text()
        read = set(re.findall(r"(?:\{\{ |\{% if |\{% for \w+ in )(\w+)", text))
        assert set(re.findall(r"`(\w+)`", cell)) - WORDS - read == set(), name
