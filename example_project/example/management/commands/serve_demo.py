from __future__ import annotations

from typing import Any

from django.contrib.staticfiles.management.commands import runserver
from django.core.management import call_command
from django.db import connections

from example.demo_data import ADMIN, PASSWORD
from example.demo_keys import DemoKeys, get_requests, make_keys


class Command(runserver.Command):
    help = "Migrate the database, load the demo data, start the server and print new keys with example requests."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        call_command("load_demo", stdout=self.stdout)
        options.update(use_reloader=False, skip_checks=True, shutdown_message="\nStopped.")
        super().handle(*args, **options)

    def on_bind(self, server_port: int) -> None:
        """Create the keys after the port is bound, so a failed start revokes no keys."""
        base_url = f"http://{self.addr}:{server_port}"
        keys = make_keys()
        self.print_logins(base_url)
        self.print_keys(keys)
        self.print_requests(base_url, keys)
        self.stdout.write(f"Serving on {base_url}/. Press Ctrl-C to stop.")
        self.stdout.flush()
        connections.close_all()

    def print_logins(self, base_url: str) -> None:
        self.heading(f"Log in (the password of all users is {PASSWORD!r})")
        self.stdout.write(f"  {ADMIN:6} {base_url}/admin/          organizations, members and keys")
        self.stdout.write(f"  {'eli':6} {base_url}/session/login/  the API in the browser, as an Editor")
        self.stdout.write(f"  {'':6} {base_url}/docs            the API as OpenAPI, including the management API")

    def print_keys(self, keys: DemoKeys) -> None:
        self.heading("Keys (shown only once; the keys of the previous start are revoked)")
        self.stdout.write(f"  {keys.business}  the server of Alpine Outdoor")
        self.stdout.write(f"  {keys.user}  a script of Ada, in both organizations")
        self.stdout.write(f"  {keys.publishable}  the web page of Harbor Coffee")

    def print_requests(self, base_url: str, keys: DemoKeys) -> None:
        self.heading("Paste a command into a shell (the number is the expected status)")
        for request in get_requests(base_url, keys):
            style = self.style.SUCCESS if request.status < 400 else self.style.WARNING
            self.stdout.write(f"  {style(str(request.status))}  {request.text}\n       {request.command}\n\n")

    def heading(self, text: str) -> None:
        self.stdout.write(f"\n{self.style.MIGRATE_HEADING(text)}")
