"""A socket that systemd's own tool opens, and hands over with the first connection."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from gateway import START_S, events, until
from wire import exchange


def activated(command: list[object], folder: Path) -> tuple[subprocess.Popen, int]:
    """Whoever opens the socket wants a port by its number; it may be gone again by then, and another will do."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with (folder / "log.jsonl").open("wb") as out, (folder / "stderr").open("wb") as errors:
            whole = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", *map(str, command)]
            process = subprocess.Popen(whole, stdin=subprocess.DEVNULL, stdout=out, stderr=errors)
        until(lambda: process.poll() is not None or "Listening on" in (folder / "stderr").read_text())
        if process.poll() is None:
            return process, port


def test_systemd_opens_the_socket(binary, site, tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_text(
        f"""
[gateway]
listen = "127.0.0.1:0"
admin = "off"
workers = 2

[log]
format = "json"

[monolith]
url = "http://{site[0]}:{site[1]}"
"""
    )
    process, port = activated([binary, "serve", "--config", tmp_path / "routes.toml"], tmp_path)
    try:
        # Nothing runs yet; this connection starts it, and is served.
        answer = exchange(("127.0.0.1", port), b"GET /get HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
        assert answer.status == 200, (tmp_path / "stderr").read_text()

        def said() -> list[str]:
            log = events(tmp_path / "log.jsonl")
            return [event["public"] for event in log if event["message"] == "listening"]

        until(said)
        assert said() == [f"127.0.0.1:{port}"]
    finally:
        process.terminate()
        code = process.wait(START_S)
    assert code == 0
