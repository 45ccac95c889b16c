"""WebSockets: the cases of the Autobahn test suite give the same results through a tunnel as without one; a terminal in a
Jupyter server works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import autobahn_cases
import httpx
import pytest
from gateway import START_S, until
from websockets.sync.client import connect
from wire import Address

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def echo():
    process = subprocess.Popen(
        [sys.executable, HERE / "echo_site.py"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    try:
        yield "127.0.0.1", int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(START_S)
        process.stdout.close()


def test_the_cases_of_autobahn_give_the_same_results_through_the_tunnel(echo: Address, gateways, tmp_path) -> None:
    gateway = gateways(echo)
    # Those of framing, pings, closing, fragments and UTF-8; `tests/autobahn` runs those of size and compression too.
    cases = os.environ.get("AUTOBAHN_CASES", "1.* 2.* 3.* 4.* 5.* 6.* 7.* 10.*").split()
    direct = autobahn_cases.results(echo, cases, tmp_path / "direct")
    through = autobahn_cases.results(gateway.public, cases, tmp_path / "through")
    assert len(direct) > 200, direct
    assert through == direct


def test_messages_of_every_kind_and_size_pass(echo: Address, gateways) -> None:
    gateway = gateways(echo)
    with connect(gateway.url.replace("http", "ws"), max_size=1 << 27) as socket:
        for message in ("", "caf\u00e9", b"", bytes(range(256)), "long " * 100_000, b"\0" * (5 << 20)):
            socket.send(message)
            assert socket.recv() == message
        assert socket.ping("are you there").wait(START_S)


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory):
    """A Jupyter server, its address, and the token that it asks for."""
    folder = tmp_path_factory.mktemp("jupyter")
    environment = os.environ | {
        name: str(folder / name.lower()) for name in ("HOME", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
    }
    for name in ("HOME", "JUPYTER_RUNTIME_DIR"):
        Path(environment[name]).mkdir()
    command = [sys.executable, "-m", "jupyter_server", "--allow-root", "--ip", "127.0.0.1", "--port", "0", "--no-browser"]
    command += ["--IdentityProvider.token=secret", f"--ServerApp.root_dir={environment['HOME']}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    runtime = Path(environment["JUPYTER_RUNTIME_DIR"])
    said: list[dict] = []

    def listens() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        for file in runtime.glob("jpserver-*.json"):
            try:
                said.append(json.loads(file.read_text()))
            except ValueError:
                return False
        return bool(said)

    try:
        until(listens)
        yield "127.0.0.1", said[0]["port"]
    finally:
        process.terminate()
        process.wait(START_S)


def test_a_terminal_works(jupyter: Address, gateways) -> None:
    gateway = gateways(jupyter)
    fields = {"Authorization": "token secret"}
    made = httpx.post(f"{gateway.url}/api/terminals", headers=fields, timeout=START_S)
    assert made.status_code == 200, made.text
    url = f"{gateway.url.replace('http', 'ws')}/terminals/websocket/{made.json()['name']}"
    # A browser says where its page is from, and the server compares that with `Host`.
    with connect(url, additional_headers=fields, origin=gateway.url) as terminal:
        terminal.send(json.dumps(["stdin", "echo answer:$((6 * 7)):\r"]))
        shown = ""
        while "answer:42:" not in shown:
            kind, *rest = json.loads(terminal.recv(START_S))
            shown += rest[0] if kind == "stdout" else ""
    gone = httpx.delete(f"{gateway.url}/api/terminals/{made.json()['name']}", headers=fields, timeout=START_S)
    assert gone.status_code == 204

