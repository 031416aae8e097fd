"""
Follow the README from the wheel to a running project, in an empty environment.

This takes about half a minute. It needs the network, since pip downloads the requirements of the wheel.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import django
import pytest

from tests.checkout import ROOT
from tests.ports import get_free_port
from tests.readme import get_block

# Variables of an outer tox must not reach the new project.
ALIEN = ("DJANGO_", "PYTHON", "COVERAGE_", "CLOSIENT_AUTH_")
URLS = """
from rest_framework.response import Response
from rest_framework.views import APIView


class Who(APIView):
    def get(self, request):
        return Response({"user": str(request.user)})


urlpatterns += [path("who/", Who.as_view())]
"""
SETTINGS = """
import os

INSTALLED_APPS += ["shop"]
if "REDIS_URL" in os.environ:
    CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": os.environ["REDIS_URL"]}
    }
    # A busy machine would look like an outage.
    from closient_auth.limits import redis

    redis.TIMEOUT, redis.BUDGET = 6, 24
"""
USERS = """
from django.contrib.auth.models import User

ada, eli = map(User.objects.create_user, ["ada", "eli"])
"""
REDIS_URL = os.environ.get("CLOSIENT_AUTH_TEST_REDIS_URL", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.sqlite,
    pytest.mark.skipif(not (ROOT / "closient_auth").is_dir(), reason="needs the checkout"),
]


class Project:
    """A folder with a virtual environment and a Django project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packages: set[str] = set()
        self.bin = folder / "environment" / "bin"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(ALIEN)}

    def run(self, program: str | Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        process = subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("python", "manage.py", *arguments)

    def read_packages(self) -> set[str]:
        frozen = self.run("pip", "freeze").stdout
        return {re.split("==| @ ", line)[0].lower() for line in frozen.splitlines()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return an empty environment and a wheel of the checkout."""
    project = Project(tmp_path_factory.mktemp("startproject"))
    subprocess.run([sys.executable, "-m", "venv", project.bin.parent], check=True, capture_output=True)
    project.run("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", project.folder / "dist", ROOT)
    (wheel,) = (project.folder / "dist").iterdir()
    return project, wheel


@pytest.fixture(scope="module")
def project(wheel):
    project, path = wheel
    # Use the Django version of the other tests.
    project.run("pip", "install", "--quiet", path, f"django=={django.get_version()}")
    project.packages = project.read_packages()
    project.run("django-admin", "startproject", "shop", ".")
    shop = project.folder / "shop"
    with (shop / "settings.py").open("a") as settings:
        settings.write(get_block("# settings.py") + SETTINGS)
    with (shop / "urls.py").open("a") as urls:
        urls.write(get_block("# urls.py") + URLS)
    for name in ("models.py", "serializers.py", "views.py"):
        (shop / name).write_text(get_block(f"# {name}"))
    project.manage("makemigrations", "--verbosity=0", "shop")
    project.manage("migrate", "--verbosity=0")
    return project


@pytest.fixture(scope="module")
def raw_key(project):
    """Create a key with the README's shell commands; return it."""
    made = project.manage("shell", "--command", f"{USERS}\n{get_block('create_key(')}\nprint(raw_key)").stdout
    return made.splitlines()[-1]


@contextmanager
def serve(project: Project, **environment: str) -> Iterator[str]:
    address = f"127.0.0.1:{get_free_port()}"
    command: list[str | Path] = [project.bin / "python", "manage.py", "runserver", "--noreload", address]
    with (
        (project.folder / "server.log").open("w+") as log,
        subprocess.Popen(
            command, cwd=project.folder, env=project.environment | environment, stdout=log, stderr=log
        ) as process,
    ):
        try:
            wait_for(address, process)
            yield f"http://{address}"
        finally:
            process.kill()


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + 60
    while not is_listening(host, int(port)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_listening(host: str, port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


def get(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urlopen(Request(url, headers=headers), timeout=30) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.headers["WWW-Authenticate"]


def test_wheel_is_the_package_and_nothing_else(wheel):
    _, path = wheel
    names = set(zipfile.ZipFile(path).namelist())

    package = ROOT / "closient_auth"
    files = {str(file.relative_to(ROOT)) for file in package.rglob("*") if file.is_file() and file.suffix != ".pyc"}
    about = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    assert names == files | about
    assert {name.partition("/")[2] for name in about} == {"METADATA", "RECORD", "WHEEL", "licenses/LICENSE"}
    assert names >= {
        "closient_auth/py.typed",
        "closient_auth/management/commands/create_api_key.py",
        "closient_auth/migrations/0001_initial.py",
        "closient_auth/static/closient_auth/admin.css",
        "closient_auth/static/closient_auth/copy.js",
        "closient_auth/templates/admin/closient_auth/apikey/created.html",
    }


def test_what_is_installed_is_what_it_says(project):
    alone = {"asgiref", "closient-auth", "django", "django-ratelimit", "djangorestframework", "sqlparse"}
    assert project.packages == alone


def test_checks_are_silent(project):
    checked = project.manage("check", "--fail-level", "DEBUG")

    assert (checked.stdout, checked.stderr) == ("System check identified no issues (0 silenced).\n", "")
    assert "No changes detected" in project.manage("makemigrations", "--check", "--dry-run").stdout


def test_key_from_the_shell_is_served(project, raw_key):
    def send(host, **data):
        body = json.dumps(data).encode() if data else None
        request = Request(f"{host}/products", body, {"X-API-Key": raw_key, "Content-Type": "application/json"})
        with urlopen(request, timeout=30) as response:
            return json.load(response)

    with serve(project) as host:
        assert get(f"{host}/products") == (HTTPStatus.UNAUTHORIZED, "ApiKey")
        product = send(host, name="Tent")
        assert send(host) == [product] == [{"id": product["id"], "name": "Tent"}]


@pytest.mark.skipif(not REDIS_URL, reason="CLOSIENT_AUTH_TEST_REDIS_URL is not set")
@pytest.mark.usefixtures("raw_key")
def test_processes_count_together_with_the_extra_for_redis(project, wheel):
    project.run("pip", "install", "--quiet", f"{wheel[1]}[redis]")
    assert "redis" in project.read_packages() - project.packages
    limits = ["--rate-limit-per-day", "5"]
    limited = project.manage("create_api_key", "csb", "--organization", "alpine-outdoor", *limits).stdout.strip()

    for remaining in ("4", "3"):
        with (
            serve(project, REDIS_URL=REDIS_URL) as host,
            urlopen(Request(f"{host}/who/", headers={"X-API-Key": limited}), timeout=30) as response,
        ):
            assert response.headers["RateLimit-Remaining"] == remaining


@pytest.mark.usefixtures("raw_key")
def test_key_from_the_command_is_served(project):
    created = project.manage("create_api_key", "csb", "--organization", "alpine-outdoor")
    raw_key = created.stdout.strip()
    assert re.fullmatch(r"csb_\w{32}_[0-9a-f]{8}\n", created.stdout)

    with serve(project) as host:
        assert get(f"{host}/who/") == (HTTPStatus.UNAUTHORIZED, "ApiKey")
        assert get(f"{host}/who/", **{"X-API-Key": raw_key[::-1]}) == (HTTPStatus.UNAUTHORIZED, "ApiKey")
        status, body = get(f"{host}/who/", **{"X-API-Key": raw_key})
        assert (status, "organization:" in body) == (HTTPStatus.OK, True)

        revoked = subprocess.run(
            [project.bin / "python", "manage.py", "revoke_api_key", "--stdin"],
            cwd=project.folder,
            env=project.environment,
            input=created.stdout,
            capture_output=True,
            text=True,
        )
        assert (revoked.returncode, revoked.stderr) == (0, "")
        assert get(f"{host}/who/", **{"X-API-Key": raw_key}) == (HTTPStatus.UNAUTHORIZED, "ApiKey")

    assert raw_key not in (project.folder / "server.log").read_text()
