"""Starts the real things: a site under gunicorn, a raw origin, the gateway before either. Everything on loopback, and
on ports that the system chose: who listens says where."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from wire import Connection, exchange

HERE = Path(__file__).parent
START_S = 30
Address = tuple[str, int]


def until(condition: Callable[[], object]) -> None:
    """Waits for what cannot be waited for otherwise: another process's file, or its state."""
    deadline = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def binary() -> Path:
    named = os.environ.get("FIGUEIRA_BIN")
    assert named, "FIGUEIRA_BIN must name the figueira binary: tests/run does"
    path = Path(named)
    assert path.is_file(), f"there is no {path}"
    return path


@dataclass
class Gateway:
    """A running gateway."""

    process: subprocess.Popen
    public: Address
    admin: Address
    folder: Path

    @property
    def url(self) -> str:
        return f"http://{self.public[0]}:{self.public[1]}"

    def log(self) -> list[dict]:
        """Every event said so far."""
        return events(self.folder / "log.jsonl")

    def ask_admin(self, path: str):
        return exchange(self.admin, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    def end(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_S)


def events(log: Path) -> list[dict]:
    lines = log.read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines]


def address(said: object) -> Address:
    """The first loopback address in a log field."""
    found = re.search(r"127\.0\.0\.1:(\d+)", json.dumps(said))
    assert found, f"no address in {said!r}"
    return "127.0.0.1", int(found[1])


def start_gateway(binary: Path, folder: Path, monolith: Address, routes: str = "") -> Gateway:
    """A gateway before `monolith`; `routes` is appended to its routes.toml."""
    (folder / "routes.toml").write_text(
        f"""
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
workers = 2
drain = "10s"

[log]
format = "json"

[monolith]
url = "http://{monolith[0]}:{monolith[1]}"

{routes}
"""
    )
    log = folder / "log.jsonl"
    with log.open("wb") as out, (folder / "stderr").open("wb") as errors:
        command = [binary, "serve", "--config", folder / "routes.toml"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        for event in events(log):
            if event["message"] == "listening":
                return Gateway(process, address(event["public"]), address(event["admin"]), folder)
        time.sleep(0.02)
    process.kill()
    process.wait()
    pytest.fail(f"the gateway did not start:\n{(folder / 'stderr').read_text()}\n{log.read_text()}")


@pytest.fixture(scope="session")
def gateways(binary: Path, tmp_path_factory: pytest.TempPathFactory):
    """Starts gateways, and sees to it that each ends well: with 0, and without a panic."""
    started: list[Gateway] = []

    def start(monolith: Address, routes: str = "") -> Gateway:
        started.append(start_gateway(binary, tmp_path_factory.mktemp("gateway"), monolith, routes))
        return started[-1]

    yield start
    for gateway in started:
        code = gateway.end() if gateway.process.poll() is None else gateway.process.returncode
        assert code == 0, f"exit code {code}; {gateway.folder} holds its log"
        assert not [event for event in gateway.log() if event["message"] == "panic"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory):
    """httpbin and more, under gunicorn, on a socket that was bound here: no port is guessed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    listener.set_inheritable(True)
    log = tmp_path_factory.mktemp("site") / "log"
    command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "--worker-class", "gthread"]
    command += ["--threads", "16", "--keep-alive", "75", "--chdir", HERE, "origin:app"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=[listener.fileno()]
        )
    place = listener.getsockname()
    try:
        # The socket accepts from the start, so this waits for gunicorn and no longer.
        answer = exchange(place, b"GET /get HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.status == 200, log.read_text()
        yield place
    finally:
        process.terminate()
        process.wait(START_S)
        listener.close()


class RawOrigin:
    """Takes requests and keeps their bytes; answers what the test says, byte for byte."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address: Address = self.listener.getsockname()
        self.heads: list[bytes] = []
        self.answer = b"HTTP/1.1 204 No Content\r\n\r\n"
        self.closes = False
        self.first_piece = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        connection = Connection.__new__(Connection)
        connection.socket, connection.buffer = client, bytearray()
        with connection:
            try:
                self.one(connection)
                while not self.closes:
                    self.one(connection)
            except (EOFError, OSError):
                return

    def one(self, connection: Connection) -> None:
        head = connection.until(b"\r\n\r\n")
        self.heads.append(head)
        lower = head.lower()
        if b"\r\ntransfer-encoding: chunked" in lower:
            for _ in connection.chunks():
                self.first_piece.set()
            while connection.until(b"\r\n"):
                pass
        elif found := re.search(rb"\r\ncontent-length: (\d+)", lower):
            connection.take(int(found[1]))
        connection.send(self.answer)


@pytest.fixture
def raw_origin():
    origin = RawOrigin()
    yield origin
    origin.listener.close()


@pytest.fixture(scope="session")
def before_site(gateways, site) -> Gateway:
    """A gateway that forwards everything to the site."""
    return gateways(site)
