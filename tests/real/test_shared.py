"""Gateways that have nothing in common but a table of DynamoDB: what one of them holds back, all do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from gateway import Gateway, until
from servers import CREDENTIALS, free_port, start_moto
from wire import exchange

RULES = """
[aws]
dynamodb_endpoint_url = "{url}"

[generator.catalog]
kind = "dynamodb"
table = "brakes"

[upstreams.other]
url = "http://{site[0]}:{site[1]}"

[[route]]
name = "everything"
path = "/{{*rest}}"
mode = "migrated"
candidate = "other"
"""


def figueira(binary: Path, gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess:
    command = [binary, *arguments, "--config", gateway.folder / "routes.toml"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | CREDENTIALS)


def mode(gateway: Gateway) -> str:
    [route] = json.loads(gateway.ask_admin("/api/routes").body)["routes"]
    return route["effective_mode"]


def known(gateway: Gateway) -> str:
    return json.loads(gateway.ask_admin("/readyz").body)["brakes"]


@pytest.fixture
def table(tmp_path):
    """A server of its own, which may be stopped."""
    server, url = start_moto(tmp_path)
    yield server, url
    server.send_signal(signal.SIGCONT)
    server.terminate()
    server.wait()


def test_a_brake_holds_in_the_whole_fleet(binary, gateways, site, table) -> None:
    server, url = table
    rules = RULES.format(url=url, site=site)
    here = gateways(site, rules, environment=CREDENTIALS)
    assert known(here) == "unknown" and mode(here) == "monolith", "there is no table yet"
    assert figueira(binary, here, "catalog", "create").returncode == 0
    there = gateways(site, rules, environment=CREDENTIALS)
    until(lambda: (known(here), mode(here), known(there), mode(there)) == ("current", "migrated") * 2)

    held = figueira(binary, here, "brake", "set", "--all", "--reason", "blank images")
    assert held.returncode == 0, held.stderr
    until(lambda: (mode(here), mode(there)) == ("monolith", "monolith"))
    assert "held at monolith" in figueira(binary, there, "brake", "list").stdout
    release = b'{"reason":"mended"}'
    head = f"DELETE /api/brakes/everything HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(release)}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"
    assert exchange(there.admin, head.encode() + release).status == 200
    assert mode(there) == "migrated"
    until(lambda: mode(here) == "migrated")

    # A table that hangs: what is known holds, a pull holds here, and in the fleet as soon as it hears of it.
    server.send_signal(signal.SIGSTOP)
    until(lambda: (known(here), known(there)) == ("last-known", "last-known"))
    assert (mode(here), mode(there)) == ("migrated", "migrated")
    alone = figueira(binary, here, "brake", "set", "everything", "--at", "shadow", "--reason", "odd")
    assert alone.returncode == 1 and "by the gateways of this data folder" in alone.stdout, alone.stdout
    until(lambda: mode(here) == "shadow")
    assert mode(there) == "migrated"
    refused = figueira(binary, here, "brake", "release", "everything", "--reason", "mended")
    assert refused.returncode == 1 and "cannot be asked" in refused.stderr, refused.stderr
    server.send_signal(signal.SIGCONT)
    until(lambda: (known(there), mode(there)) == ("current", "shadow"))
    until(lambda: known(here) == "current")
    assert figueira(binary, there, "brake", "release", "everything", "--reason", "mended").returncode == 0
    until(lambda: (mode(here), mode(there)) == ("migrated", "migrated"))


def test_who_never_heard_of_the_brakes_leaves_everything_to_the_monolith(gateways, site) -> None:
    rules = RULES.format(url=f"http://127.0.0.1:{free_port()}", site=site)
    alone = gateways(site, rules, environment=CREDENTIALS)
    assert (known(alone), mode(alone)) == ("unknown", "monolith")
    answer = exchange(alone.public, b"GET /json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.status == 200
