"""The gateway under test: a process of its own, whose addresses are those that its log names."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wire import Address, Response, exchange

START_S = 30


def until(condition: Callable[[], object]) -> None:
    """Waits for what cannot be waited for otherwise: another process's file, or its state."""
    deadline = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


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

    def ask_admin(self, path: str) -> Response:
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


def start(
    binary: Path,
    folder: Path,
    monolith: Address,
    routes: str = "",
    keys: str = "",
    environment: dict[str, str] | None = None,
) -> Gateway:
    """A gateway before `monolith`; `routes` is appended to its routes.toml, `keys` to [gateway]."""
    (folder / "routes.toml").write_text(
        f"""
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
workers = 2
drain = "10s"
{keys}

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
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=os.environ | (environment or {})
        )
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
    raise AssertionError(f"the gateway did not start:\n{(folder / 'stderr').read_text()}\n{log.read_text()}")
