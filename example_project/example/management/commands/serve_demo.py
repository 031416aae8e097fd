from __future__ import annotations

from io import StringIO
from typing import Any

from django.contrib.staticfiles.management.commands import runserver
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections

from closient_auth.roles import Role
from example.demo_data import ADMIN, ORGANIZATIONS, PASSWORD
from example.demo_keys import REQUESTS, DemoKeys, get_variables, make_keys


class Command(runserver.Command):
    help = "Migrate the database, load the demo data, start the server and print new keys with example requests."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            call_command("migrate", verbosity=0)
            call_command("load_demo", stdout=StringIO())
        except DatabaseError as error:
            name = connection.settings_dict["NAME"]
            raise CommandError(f"{error}. If {name} is from an earlier version of the demo, delete it.") from error
        options.update(use_reloader=False, skip_checks=True, shutdown_message="\nStopped.")
        super().handle(*args, **options)

    def on_bind(self, server_port: int) -> None:
        """Create the keys after the port is bound, so a failed start revokes no keys."""
        base_url = f"http://{self.addr}:{server_port}"
        self.print_variables(base_url, make_keys())
        self.print_requests()
        self.print_logins(base_url)
        self.stdout.write(f"\nServing on {base_url}/. Press Ctrl-C to stop.")
        self.stdout.flush()
        connections.close_all()

    def print_variables(self, base_url: str, keys: DemoKeys) -> None:
        self.heading("Paste these lines into another terminal. The keys are new; those of the last start are revoked.")
        for variable in get_variables(base_url, keys):
            self.stdout.write(f"  {variable}")

    def print_requests(self) -> None:
        self.heading("Then paste a request. The number is the status of its response.")
        for request in REQUESTS:
            style = self.style.SUCCESS if request.status < 400 else self.style.WARNING
            self.stdout.write(f"  {style(str(request.status))}  {request.text}\n       {request.command}")

    def print_logins(self, base_url: str) -> None:
        self.heading(f"Sign in. The password of all users is {PASSWORD!r}.")
        self.stdout.write(f"  Dashboard  {base_url}/settings/   for members:")
        for demo in ORGANIZATIONS:
            members = ", ".join(f"{username} ({Role(role).label})" for username, role in demo.members)
            self.stdout.write(f"               {demo.name + ':':15} {members}")
        self.stdout.write(f"  Admin      {base_url}/admin/      as {ADMIN}")
        self.stdout.write(f"  All pages  {base_url}/")

    def heading(self, text: str) -> None:
        self.stdout.write(f"\n{self.style.MIGRATE_HEADING(text)}")
