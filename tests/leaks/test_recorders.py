"""The settings in docs/security.md keep keys out of logs, error mails, Sentry and django-silk.

Each test runs in a process of its own, because the packages change Django itself. Each also runs without the settings and
then finds the key, so it can fail.
"""

from __future__ import annotations

import re
import subprocess
import sys
from textwrap import dedent

import pytest

from tests.checkout import ROOT

pytestmark = pytest.mark.sqlite

PAGE = (ROOT / "docs" / "security.md").read_text()
KEY = "csb_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEf_84041098"
MARK = "csb_[redacted]"

PROJECT = """
import logging, os, sys
import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

KEY = {key!r}

def broken(request):
    raw_key = request.headers["X-Acme-Client"]
    logging.getLogger("host").warning("Breadcrumb with %s", raw_key, extra={{"raw_key": raw_key}})
    raise RuntimeError("The view got " + raw_key)

def fine(request):
    return HttpResponse(request.headers["X-Acme-Client"])

def call(address):
    from django.test import Client
    client = Client(raise_request_exception=False)
    return client.get(address, {{"key": KEY}}, headers={{"X-Acme-Client": KEY}}, REMOTE_ADDR="192.0.2.1")

urlpatterns = [path("broken/", broken), path("fine/", fine)]
settings.configure(
    ALLOWED_HOSTS=["*"],
    CLOSIENT_AUTH={{"HEADER": "X-Acme-Client"}},
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    ROOT_URLCONF="__main__",
    SECRET_KEY="only-for-tests",
    **{settings},
)
"""


def get_block(first_words):
    blocks = [dedent(block) for block in re.findall(r"^ *```python\n(.+?)^ *```$", PAGE, re.M | re.S)]
    (block,) = (block for block in blocks if first_words in block)
    return block


def run(program, settings="{}", path=ROOT, **names):
    """Run a program after the project, and return its output."""
    source = PROJECT.format(key=KEY, settings=settings) + dedent(program)
    for name, value in names.items():
        source = source.replace(f"<{name}>", value)
    environment = {"PYTHONPATH": ":".join([str(path), *sys.path]), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", source], env=environment, cwd="/", capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


SENTRY = """
import warnings
from functools import partial
import sentry_sdk
from sentry_sdk.transport import Transport

class Capture(Transport):
    def capture_envelope(self, envelope):
        sys.stdout.write(envelope.serialize().decode())

# Without a handler, ``logging`` would write to stderr.
logging.getLogger().addHandler(logging.NullHandler())
# Current versions prefer "data_collection".
warnings.filterwarnings("ignore", "The send_default_pii option is deprecated")
sentry_sdk.init = partial(
    sentry_sdk.init, transport=Capture, traces_sample_rate=1.0, send_default_pii=<pii>, enable_logs=True
)
<block>
django.setup()
from django.core.wsgi import get_wsgi_application
from django.test import RequestFactory
# Sentry's transactions begin in the WSGI handler, which the test client does not use.
request = RequestFactory().get("/broken/", {"key": KEY}, headers={"X-Acme-Client": KEY}, REMOTE_ADDR="192.0.2.1")
get_wsgi_application()(request.environ, lambda status, headers: None).close()
sentry_sdk.flush()
"""


@pytest.mark.parametrize("pii", [True, False])
def test_sentry(pii):
    block = get_block("sentry_sdk.init(")
    without = re.sub(r"\n    before_send.+", "", block)
    redacted = run(SENTRY, pii=str(pii), block=block)
    leaky = run(SENTRY, pii=str(pii), block=without)

    assert KEY not in redacted
    for part in ('"type":"event"', '"type":"transaction"', '"type":"log"', f"Breadcrumb with {MARK}"):
        assert part in redacted
    # The message, the variable of the view, the header and the breadcrumb.
    for part in ("The view got %s", '"raw_key":"\'%s\'"', '"X-Acme-Client":"%s"', "Breadcrumb with %s"):
        assert part % KEY in leaky
        assert part % MARK in redacted


LOGS = """
from django.utils.log import AdminEmailHandler

def send_mail(handler, subject, message, *args, html_message, **kwargs):
    print(subject, message, html_message)

AdminEmailHandler.send_mail = send_mail
django.setup()
(handler,) = logging.getLogger("django").handlers
handler.include_html = True
assert call("/broken/").status_code == 500
"""


def test_log_and_mail(tmp_path):
    (tmp_path / "example").mkdir()
    (tmp_path / "example" / "mail.py").write_text(get_block("class RedactedEmailHandler"))
    names: dict[str, object] = {}
    exec(get_block("LOGGING ="), names)
    settings = repr({"LOGGING": names["LOGGING"], "ADMINS": ["ada@example.com"]})
    without = settings.replace("['redact_keys']", "[]").replace("example.mail.Redacted", "django.utils.log.Admin")
    redacted = run(LOGS, settings, path=tmp_path)
    leaky = run(LOGS, without)

    # The log, and the mail in text and HTML with the variables of the view.
    for part in ("Breadcrumb with %s", "RuntimeError: The view got %s", "&#x27;%s&#x27;"):
        assert part % KEY in leaky
        assert part % MARK in redacted
    assert KEY not in redacted
    assert redacted.count(MARK) == leaky.count(KEY) > 10


SILK = """
django.setup()
from django.core.management import call_command
from silk.models import Request, Response
call_command("migrate", verbosity=0)
<block>
assert call("/fine/").status_code == 200
(request,) = Request.objects.values()
(response,) = Response.objects.values()
print(request, response)
"""


def test_silk():
    settings = repr(
        {
            "INSTALLED_APPS": ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "silk"],
            "MIDDLEWARE": ["silk.middleware.SilkyMiddleware"],
            "SILKY_MAX_RESPONSE_BODY_SIZE": 0,
            "USE_TZ": True,
        }
    )
    redacted = run(SILK, settings, block=get_block("def redact_recording"))
    leaky = run(SILK, settings, block="")

    for part in ('"x-acme-client": "%s"', '"key": "%s"'):
        assert part % KEY in leaky
        assert part % MARK in redacted
    assert KEY not in redacted
