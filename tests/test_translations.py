"""The catalogs are complete, and every language that the package ships appears on pages, in errors and in mails."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from html import unescape
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po
from django.core import mail
from django.test import Client
from django.utils import timezone, translation
from django.utils.html import strip_tags

import closient_auth
from closient_auth.models import ApiKey
from tests import german
from tests.checkout import copy_checkout
from tests.dashboard.routes import FILES, PAGES
from tests.dashboard.world import SETTINGS, World
from tests.factories import MembershipFactory, UserFactory, make_key

PACKAGE = Path(closient_auth.__file__).parent
LANGUAGES = sorted(path.name for path in (PACKAGE / "locale").iterdir())
# What code replaces: %(name)s, %s, %d and {name}. A tag of HTML has to stay as it is, with its attributes.
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")
TAG = re.compile(r"</?[a-z][^>]*>")
# A context with this beginning is a format of Django's filter ``date``, not a text.
FORMAT = "format of "


def read(language: str) -> Catalog:
    with (PACKAGE / "locale" / language / "LC_MESSAGES" / "django.po").open("rb") as file:
        return read_po(file)


def list_messages(catalog: Catalog) -> list[Any]:
    """Return the messages without the header."""
    return [message for message in catalog if message.id]


def get_texts(message: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the forms of a message in English and in the language of the catalog."""
    pair = message.id, message.string
    ids, strings = (text if isinstance(text, (tuple, list)) else (text,) for text in pair)
    return tuple(ids), tuple(strings)


def get_keys(catalog: Catalog) -> set[tuple[str | None, Any]]:
    return {(message.context, message.id) for message in list_messages(catalog)}


def test_languages():
    assert "de" in LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated(language):
    messages = list_messages(read(language))

    assert len(messages) > 800
    assert [message.id for message in messages if message.fuzzy] == []
    assert [message.id for message in messages if not all(get_texts(message)[1])] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_number_of_plural_forms(language):
    catalog = read(language)
    plurals = [message for message in list_messages(catalog) if message.pluralizable]

    assert [message.id for message in plurals if len(message.string) != catalog.num_plurals] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("pattern", [PLACEHOLDER, TAG], ids=["placeholders", "tags"])
def test_placeholders_and_tags_are_those_of_the_original(language, pattern):
    faults = []
    for message in list_messages(read(language)):
        if (message.context or "").startswith(FORMAT):
            continue
        originals, translated = get_texts(message)
        wanted = [sorted(pattern.findall(text)) for text in originals]
        faults += [text for text in translated if sorted(pattern.findall(text)) not in wanted]
    assert faults == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_begins_or_ends_with_another_space_or_mark(language):
    """Labels and sentences stand next to others, so a lost space or ellipsis shows."""

    def get_edges(text: str) -> tuple[bool, bool, bool]:
        return text[:1] == " ", text[-1:] == " ", text[-1:] == "…"

    faults = []
    for message in list_messages(read(language)):
        originals, translated = get_texts(message)
        faults += [text for text in translated if get_edges(text) != get_edges(originals[0])]
    assert faults == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_compiled_catalog(language):
    with (PACKAGE / "locale" / language / "LC_MESSAGES" / "django.mo").open("rb") as file:
        compiled = read_mo(file)

    def get_strings(catalog: Catalog) -> dict[Any, Any]:
        return {(message.context, get_texts(message)[0]): get_texts(message)[1] for message in list_messages(catalog)}

    assert get_strings(compiled) == get_strings(read(language))


@pytest.mark.sqlite
@pytest.mark.unmeasured
@pytest.mark.skipif(shutil.which("xgettext") is None, reason="GNU gettext is not installed")
def test_catalogs_have_the_texts_of_the_code(tmp_path):
    """Fails after a text has changed. ``make messages`` brings the catalogs up to date."""
    package = copy_checkout(tmp_path) / "closient_auth"
    command = [sys.executable, "-m", "django", "makemessages", "--all", "--no-obsolete", "--no-wrap", "--no-location"]
    # The settings of the tests are not on the path there, and the command needs none.
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    subprocess.run(command, cwd=package, check=True, capture_output=True, env=environment)

    for language in LANGUAGES:
        with (package / "locale" / language / "LC_MESSAGES" / "django.po").open("rb") as file:
            extracted = get_keys(read_po(file))
        known = get_keys(read(language))
        assert (sorted(map(str, extracted - known)), sorted(map(str, known - extracted))) == ([], []), language


def test_catalog_of_the_project(tmp_path, settings):
    """A project can change a text, and add a language."""
    for language in ("de", "eo"):
        catalog = Catalog(language)
        catalog.add("Create key", f"{language} of the project")
        folder = tmp_path / language / "LC_MESSAGES"
        folder.mkdir(parents=True)
        with (folder / "django.mo").open("wb") as file:
            write_mo(file, catalog)
    settings.LOCALE_PATHS = [tmp_path]
    texts = {}
    for language in ("de", "eo"):
        with translation.override(language):
            texts[language] = translation.gettext("Create key"), translation.gettext("Copy key")

    assert texts == {"de": ("de of the project", german.KEY_COPYING), "eo": ("eo of the project", "Copy key")}


# Words of nearly every English sentence. No language that the package ships has them.
ENGLISH = re.compile(r"\b(the|and|with|your|you|of|this|is|are|has|from|for|to|cannot)\b", re.IGNORECASE)
# What people read or hear of a page: its text, and these attributes.
UNREAD = re.compile(r"<(script|style|code)\b.*?</\1>", re.DOTALL)
ATTRIBUTE = re.compile(r'\b(?:aria-label|title|placeholder|alt|data-copied)="([^"]*)"')


@pytest.fixture
def browse(settings):
    """Return a function that makes a client which asks for a language, as browsers do."""
    settings.ROOT_URLCONF = "tests.dashboard.urls_with_api"
    settings.LOGIN_URL = "login"
    settings.CLOSIENT_AUTH = SETTINGS
    position = settings.MIDDLEWARE.index("django.middleware.common.CommonMiddleware")
    settings.MIDDLEWARE = settings.MIDDLEWARE.copy()
    settings.MIDDLEWARE.insert(position, "django.middleware.locale.LocaleMiddleware")

    def browse(language, user=None, **headers):
        client = Client(headers={"Accept-Language": language, **headers})
        if user is not None:
            client.force_login(user)
        return client

    return browse


def read_aloud(page: str) -> str:
    """Return the texts of a page on one line."""
    texts = [strip_tags(re.sub(r"(<[^>]*>)", r"\1 ", UNREAD.sub(" ", page))), *ATTRIBUTE.findall(page)]
    return " ".join(unescape(" ".join(texts)).split())


def find_leftovers(language: str, text: str) -> list[str]:
    """Return the English of a text: sentences of the catalog and common words."""
    return find_originals(language, text) + ENGLISH.findall(text)


def find_originals(language: str, text: str) -> list[str]:
    """Return the English texts of the catalog that are in a text. A single word could be a name, or another language's."""
    texts = [get_texts(message) for message in list_messages(read(language))]
    everything = " ".join(form for _, translated in texts for form in translated)
    sentences = [form for originals, _ in texts for form in originals if " " in form and form not in everything]
    return [sentence for sentence in sentences if sentence in text]


@pytest.mark.django_db
@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_of_the_dashboard(browse, language, subtests):
    world = World()
    client = browse(language, world.people["owner"])
    # The pages about an invitation find its token in the session.
    client.get(world.get_address("join"))
    for name in sorted({*PAGES} - FILES):
        with subtests.test(name):
            response = client.get(world.get_address(name), follow=True)
            # A form has the name of this key as an example, so it is also a text of the catalog.
            text = read_aloud(response.text).replace(world.keys["active"].name, "")

            assert (response.status_code, response["Content-Language"]) == (HTTPStatus.OK, language)
            assert f'<html lang="{language}"' in response.text
            assert find_leftovers(language, text) == []
    # The same search finds English texts.
    english = read_aloud(browse("en", world.people["owner"]).get(world.get_address("keys")).text)
    assert {"Last used", "Create key", "the"} <= {*find_leftovers(language, english)}


@pytest.mark.django_db
def test_german_pages(browse, subtests):
    world = World()
    client = browse("de", world.people["owner"])
    for name, texts in german.PAGES.items():
        with subtests.test(name):
            page = read_aloud(client.get(world.get_address(name)).text)

            assert [text for text in texts if text not in page.replace("\xa0", " ")] == []


@pytest.mark.django_db
@pytest.mark.parametrize("language", LANGUAGES)
def test_errors_of_the_api(browse, language):
    member = MembershipFactory.create(role="editor")
    tree = f"/account/api/v1/organizations/{member.organization.pk}"
    client = browse(language, member.user)
    requests = {
        "Invalid API key.": browse(language, **{"X-API-Key": "csb_x"}).get(f"{tree}/keys"),
        "Authentication credentials were not provided.": browse(language).get(f"{tree}/keys"),
        "You do not have permission to perform this action.": client.get(f"{tree}/keys"),
    }
    with translation.override(language):
        expected = {text: translation.gettext(text) for text in requests}

    assert [text for text, translated in expected.items() if text == translated] == []
    for text, response in requests.items():
        assert response.json()["detail"] == expected[text]
    assert language != "de" or expected["Invalid API key."] == german.INVALID_API_KEY


@pytest.mark.django_db
@pytest.mark.parametrize("language", LANGUAGES)
def test_mail_of_an_invitation(browse, language, django_capture_on_commit_callbacks):
    inviter = MembershipFactory.create(organization__name="Acme", role="owner", user__username="ada")
    page = f"/settings/o/{inviter.organization.slug}/invitations/"
    with django_capture_on_commit_callbacks(execute=True):
        browse(language, inviter.user).post(page, {"emails": "ben@example.org", "role": "manager"})

    sent: Any
    (sent,) = mail.outbox
    subject, body, ((html, _),) = str(sent.subject), sent.body, sent.alternatives
    for text in (subject, body, strip_tags(html)):
        assert find_leftovers(language, text) == []
    assert f'<html lang="{language}"' in html
    if language == "de":
        assert subject == german.INVITATION_SUBJECT
        assert re.match(german.INVITATION, body)
        assert re.search(german.INVITATION_END, body)


@pytest.mark.django_db
@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_of_the_admin(browse, language):
    """The search is for the texts of the package: a new Django may have some that are not translated yet."""
    client = browse(language, UserFactory.create(is_staff=True, is_superuser=True))
    api_key, _ = make_key(name="Server")
    ApiKey.objects.filter(pk=api_key.pk).update(last_used=timezone.now() - timedelta(days=3))
    pages = ["/admin/closient_auth/apikey/", f"/admin/closient_auth/apikey/{api_key.pk}/change/"]
    texts = [read_aloud(client.get(page).text) for page in pages]

    assert [find_originals(language, text) for text in texts] == [[], []]
    if language == "de":
        assert [text for text in german.ADMIN_LIST if text not in texts[0]] == []
