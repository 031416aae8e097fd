"""
Run ``make demo`` in a copy of the project, and every printed command in a shell.

The first start creates an environment and takes a minute. ``DEMO_PYTHON`` can name a Python with the requirements.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import sqlite3
import subprocess

import pytest

from tests.ports import get_free_port
from tests.served.demo import is_left_out, needs_shell, start_demo

pytestmark = [pytest.mark.slow, pytest.mark.sqlite, needs_shell]


def run(*lines: str) -> str:
    """Paste lines into a shell and return its output."""
    shell = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, timeout=30, check=True)
    return shell.stdout


def paste(*lines: str) -> list[tuple[int, dict[str, str]]]:
    """Paste lines into a shell. Return the status and the headers of each response."""
    answers: list[tuple[int, dict[str, str]]] = []
    for text in run(*lines).splitlines():
        if match := re.match(r"HTTP/[\d.]+ (\d{3})", text):
            answers.append((int(match[1]), {}))
        elif answers and (match := re.match(r"([\w-]+): ?(.*)", text)):
            answers[-1][1][match[1].lower()] = match[2]
    return answers


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def count_keys(checkout, port):
    database = sqlite3.connect(checkout / "example_project" / f"db-{port}.sqlite3")
    try:
        return database.execute("SELECT count(*) FROM closient_auth_apikey WHERE is_active").fetchone()[0]
    finally:
        database.close()


@pytest.mark.parametrize(("ci", "left_out"), [("true", False), ("", True)])
def test_proof_is_never_left_out_of_ci_for_want_of_a_program(monkeypatch, ci, left_out):
    monkeypatch.setenv("CI", ci)
    assert not is_left_out()
    monkeypatch.setenv("PATH", "")
    assert is_left_out() == left_out


def test_every_line_answers_what_it_says(checkout, port):
    with start_demo(checkout, port) as demo:
        demo.wait_until_it_serves()
        requests = demo.requests
        assert [status for status, _ in requests] == [200, 200, 201, 200, 401, 403, 404, 429]
        for name, prefix in (("KEY", "csb"), ("ADA", "csu"), ("WIDGET", "cpk")):
            assert re.search(rf"^  export {name}={prefix}_\w{{32}}_[0-9a-f]{{8}}$", demo.output, re.M)
        assert len(demo.output.splitlines()) <= 40
        assert max(map(len, demo.output.splitlines())) <= 100
        # What a user reads last
        assert re.search(r"Dashboard .+/settings/.+ada \(Owner\).+\n\nServing on", demo.output, re.S)

        (_, first), *others = requests
        assert json.loads(run(*demo.variables, first))["count"] == 5
        for status, line in others:
            *before, (answered, headers) = paste(*demo.variables, line)
            if status == 429 and answered == 200:
                # A new minute has begun during the loop.
                *before, (answered, headers) = paste(*demo.variables, line)
            assert answered == status, line
            assert [earlier for earlier, _ in before if earlier != 429] == [200] * len(before)
            check_headers(status, headers)


def test_log_ins(checkout, port):
    """The start page and the dashboard answer the people whom the output names."""
    script = """
    page() { curl -s -L -b jar -c jar -H 'Accept: text/html' "$@"; }
    token=$(page $SITE/session/login/ | sed -n 's/.*csrfmiddlewaretoken" value="\\([^"]*\\)".*/\\1/p')
    page -d "username=$1&password=demo&csrfmiddlewaretoken=$token" $SITE/session/login/
    page $SITE/settings/
    """
    with start_demo(checkout, port) as demo:
        demo.wait_until_it_serves()
        names = re.findall(r"(\w+) \((?:Owner|Manager|Billing|Editor)\)", demo.output)
        assert len(names) == 8
        for name in {*names, "admin"}:
            pages = run(f"cd {checkout}; rm -f jar; set -- {name}", *demo.variables, script)
            assert f"({name})." in pages
            assert "Organizations" in pages


def check_headers(status: int, headers: dict[str, str]) -> None:
    if status == 429:
        assert 1 <= int(headers["retry-after"]) <= 61
        return
    assert "retry-after" not in headers
    assert "X-API-Key" in headers["vary"].split(", ")
    if status == 401:
        assert headers["www-authenticate"] == "ApiKey"
        return
    assert headers["cache-control"] == "private, no-store"
    if status != 403:
        assert re.fullmatch(r"\d+;w=60, \d+;w=86400", headers["ratelimit-policy"])
        assert int(headers["ratelimit-remaining"]) < int(headers["ratelimit-limit"])
        assert 1 <= int(headers["ratelimit-reset"]) <= 86400


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_ends_cleanly_and_starts_again(checkout, port, number):
    with start_demo(checkout, port) as demo:
        demo.wait_until_it_serves()
        request, first = demo.requests[1][1], demo.variables
        assert paste(*first, request)[0][0] == 200
        demo.stop(number)
        assert not is_listening(port)
        assert "Traceback" not in demo.output
        keys = count_keys(checkout, port)

    with start_demo(checkout, port) as demo:
        demo.wait_until_it_serves()
        assert paste(*first, request)[0][0] == 401
        assert paste(*demo.variables, request)[0][0] == 200
        assert count_keys(checkout, port) == keys


def test_ends_with_make_alone(checkout, port):
    with start_demo(checkout, port) as demo:
        demo.wait_until_it_serves()
        demo.process.terminate()
        demo.process.wait(60)
        assert not is_listening(port)


def test_busy_port_is_one_sentence_and_no_key(checkout, port):
    with start_demo(checkout, port) as demo:
        demo.wait_until_it_serves()
        # Leave one connection open and one closing, as a browser does.
        with socket.create_connection(("127.0.0.1", port)):
            demo.stop()
    keys = count_keys(checkout, port)
    with socket.create_server(("127.0.0.1", port)), start_demo(checkout, port) as demo:
        assert demo.process.wait(60) != 0
        sentence = f"Port {port} cannot be used: address already in use. Choose another: make demo PORT={port + 1}"
        assert [line for line in demo.output.splitlines() if not line.startswith("make: ***")] == [sentence]
    assert count_keys(checkout, port) == keys


def test_two_demos_at_once(checkout, port):
    """The second one leaves the keys of the first alone."""
    with start_demo(checkout, port) as demo:
        demo.wait_until_it_serves()
        request, first = demo.requests[1][1], demo.variables
        with start_demo(checkout, get_free_port()) as other:
            other.wait_until_it_serves()
            assert paste(*other.variables, request)[0][0] == 200
            assert paste(*first, request)[0][0] == 200


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "8000 "])
def test_port_that_is_none(checkout, text):
    with start_demo(checkout, text) as demo:
        assert demo.process.wait(60) != 0
        assert demo.output.startswith(f"PORT={text} is not a valid port number.")
