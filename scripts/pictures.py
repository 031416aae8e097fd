"""
Take the pictures of the documentation: ``make pictures``.

    python scripts/pictures.py [folder]      by default docs/pictures

Needs the dependency group ``browser`` and Chromium. The demo runs at a fixed time with a new database, so a picture changes
only with its page. No page shows a complete key.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "example_project"
FOLDER = ROOT / "docs" / "pictures"
# A Thursday. The history of the demo ends here.
NOW = datetime(2026, 3, 12, 10, 20, tzinfo=UTC)
WIDTH = 1280
COLORS = 128
MAX_BYTES = 120_000
HOST = "127.0.0.1"
DASHBOARD = "/settings/o/alpine-outdoor"
ADMIN = "/admin/closient_auth"


class Picture(NamedTuple):
    """
    A page as a user sees it, at most ``height`` pixels of it.

    ``link`` is the text of a link on the page at ``path`` that leads to the page to show.
    """

    name: str
    user: str
    path: str
    link: str = ""
    scheme: str = "light"
    height: int = 1100


PICTURES = (
    Picture("dashboard-keys", "ada", f"{DASHBOARD}/keys/"),
    Picture("dashboard-keys-dark", "ada", f"{DASHBOARD}/keys/", scheme="dark"),
    Picture("dashboard-key", "ada", f"{DASHBOARD}/keys/", "Web shop", height=800),
    Picture("dashboard-members", "ada", f"{DASHBOARD}/members/"),
    Picture("dashboard-invitations", "mia", f"{DASHBOARD}/invitations/", scheme="dark"),
    Picture("dashboard-audit", "ada", f"{DASHBOARD}/audit/"),
    Picture("admin-keys", "admin", f"{ADMIN}/apikey/"),
    Picture("admin-key", "admin", f"{ADMIN}/apikey/", "Web shop", scheme="dark"),
)


def main(folder: Path) -> None:
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with serve() as base_url, sync_playwright() as playwright:
        # Without Debian's package, Playwright uses the browser that ``playwright install chromium`` has downloaded.
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        sessions = {user: log_in(browser, base_url, user) for user in {picture.user for picture in PICTURES}}
        for picture in PICTURES:
            data = shrink(take(browser, base_url, sessions[picture.user], picture))
            if len(data) > MAX_BYTES:
                sys.exit(f"{picture.name}.png has {len(data)} bytes, more than {MAX_BYTES}. Show less of the page.")
            (folder / f"{picture.name}.png").write_bytes(data)
            print(f"{picture.name}.png: {len(data) // 1000} kB")
        browser.close()
    for path in folder.glob("*.png"):
        if path.stem not in {picture.name for picture in PICTURES}:
            path.unlink()


@contextmanager
def serve() -> Iterator[str]:
    """Run the demo in another process, and yield its address."""
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "EXAMPLE_"))
        }
        environment |= {
            "DJANGO_SETTINGS_MODULE": "example.settings",
            "EXAMPLE_DATABASE_URL": f"sqlite:///{directory}/demo.sqlite3",
            "PYTHONPATH": os.pathsep.join([str(EXAMPLE), str(ROOT)]),
        }
        with (Path(directory) / "log").open("w+") as log:
            command = [sys.executable, __file__, "--serve", str(port)]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            try:
                wait_for(port, process, Path(log.name))
                yield f"http://{HOST}:{port}"
            finally:
                process.terminate()
                process.wait(30)


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with closing(socket.socket()) as client:
            if client.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.1)
    sys.exit(f"The demo did not start.\n{log.read_text()}")


def run_server(port: str) -> None:
    """Load the demo data and serve the example project, both at ``NOW``."""
    import django
    import time_machine
    from django.core.management import call_command

    with time_machine.travel(NOW):
        django.setup()
        call_command("migrate", verbosity=0)
        call_command("load_demo")
        call_command("runserver", f"{HOST}:{port}", use_reloader=False, skip_checks=True)


def log_in(browser: Any, base_url: str, user: str) -> Any:
    """Return the cookies of a session."""
    context = browser.new_context(base_url=base_url)
    page = context.new_page()
    page.goto("/session/login/?next=/health")
    page.fill("#id_username", user)
    page.fill("#id_password", "demo")
    page.press("#id_password", "Enter")
    page.wait_for_url("**/health")
    state = context.storage_state()
    context.close()
    return state


def take(browser: Any, base_url: str, session: Any, picture: Picture) -> bytes:
    """Return the picture of a page as PNG. Exit if the page is not there."""
    # The admin would write by how many hours the browser's time zone differs from the server's.
    context = browser.new_context(
        base_url=base_url,
        storage_state=session,
        color_scheme=picture.scheme,
        viewport={"width": WIDTH, "height": 800},
        timezone_id="UTC",
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    response = page.goto(picture.path)
    if picture.link:
        # A text would also match "Old web shop", because Playwright ignores case.
        link = page.get_by_role("link", name=re.compile(picture.link)).first
        if not link.count():
            sys.exit(f"{response.url} has no link {picture.link!r} for {picture.name}.png.")
        with page.expect_response(lambda response: response.request.is_navigation_request()) as followed:
            link.click()
        response = followed.value
    if response.status != 200:
        sys.exit(f"{response.url} for {picture.name}.png returned {response.status}.")
    page.wait_for_load_state()
    height = min(page.evaluate("document.documentElement.scrollHeight"), picture.height)
    data: bytes = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": height})
    context.close()
    return data


def shrink(data: bytes) -> bytes:
    """Return a PNG with a palette, which has about a quarter of the size."""
    from PIL import Image

    image = Image.open(BytesIO(data)).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    image.save(shrunk := BytesIO(), "PNG", optimize=True)
    return shrunk.getvalue()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        run_server(sys.argv[2])
    else:
        main(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
