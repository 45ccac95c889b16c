"""The disk under the evidence is full: users get the same bytes in the same time, and every pair is counted."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import namespace

ANSWER = b'HTTP/1.1 200 Fine\r\nX-By: The Control\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{"processamento":200}'
ROUTES = """
[parallel_run]
max_lag = "10m"
max_share = "off"
queue = 1000

[upstreams.new]
url = "http://%s:%s"

[[route]]
name = "orders"
path = "/orders"
mode = "shadow"
candidate = "new"
subject = "cookie:session"
[route.shadow]
after_verdict = 1.0
[route.gate]
calibration = 1
"""
CALM = 300
# More than waits for the disk, so that some are counted only.
FULL = 2_000


def test_users_do_not_notice_and_every_pair_is_counted(binary: Path, tmp_path: Path) -> None:
    namespace.tell(__file__, binary, tmp_path)


def fill(folder: Path) -> Path:
    """Takes all that is left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def full(binary: Path, folder: Path) -> None:
    """The story itself, in a mount namespace of its own."""
    import gateway
    from gateway import until
    from raw_origin import RawOrigin
    from wire import Connection

    data = folder / "data"
    namespace.mount_memory(data, "24m")
    control, candidate = RawOrigin(), RawOrigin()
    control.answer = candidate.answer = ANSWER
    (folder / "gateway").mkdir()
    running = gateway.start(
        binary, folder / "gateway", control.address, ROUTES % candidate.address, keys=f'data = "{data}"'
    )
    client = Connection(running.public)
    told: set[bytes] = set()

    def asked(number: int) -> float:
        """Seconds to an answer."""
        began = time.perf_counter()
        client.send(b"GET /orders HTTP/1.1\r\nHost: shop.test\r\nCookie: session=%d\r\n\r\n" % number)
        told.add(client.take(len(ANSWER)))
        return time.perf_counter() - began

    def counts() -> dict:
        command = [binary, "report", "--format", "json", "--config", running.folder / "routes.toml"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)["routes"][0]["counts"]

    def said(message: str) -> bool:
        return any(message in event["message"] for event in running.log())

    try:
        calm = sorted(asked(number) for number in range(CALM))
        until(lambda: counts()["sampled"] == CALM)
        ballast = fill(data)
        waited = sorted(asked(CALM + number) for number in range(FULL))
        until(lambda: said("evidence cannot be written; trying again"))
        assert told == {ANSWER}
        for share in (0.5, 0.9):
            before, after = calm[int(CALM * share)], waited[int(FULL * share)]
            assert after < 2 * before + 0.005, f"{share}: {before} s, and {after} s when the disk was full"

        ballast.unlink()
        until(lambda: said("evidence can be written again"))
        until(lambda: counts()["sampled"] == CALM + FULL)
        found = counts()
        of_each = ("trials", "calibration", "control_failed", "incomparable", "duplicate_subject")
        assert found["sampled"] == sum(found[name] for name in of_each) + sum(found["skipped"].values())
        with sqlite3.connect(f"file:{data / 'evidence.sqlite'}?mode=ro", uri=True) as evidence:
            assert evidence.execute("SELECT sum(n) FROM unrecorded").fetchone()[0] > 0, "some found no place, and were counted"
        assert (found["requests"], len(control.heads), found["failures"]) == (CALM + FULL, CALM + FULL, 0)
    finally:
        running.process.terminate()
        assert running.process.wait(gateway.START_S) == 0


if __name__ == "__main__":
    full(Path(sys.argv[1]), Path(sys.argv[2]))
