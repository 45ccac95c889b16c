"""The lake that evidence is exported to takes connections and answers nothing: users get the same bytes in the same time,
and every pair is on the disk."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path

import gateway
from gateway import until
from raw_origin import RawOrigin
from servers import CREDENTIALS
from wire import Connection

ANSWER = b'HTTP/1.1 200 Fine\r\nX-By: The Control\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{"processamento":200}'
ROUTES = """
[parallel_run]
max_lag = "10m"
max_share = "off"
queue = 1000
%s

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
EACH = 200


def test_users_do_not_notice_and_nothing_is_lost(binary: Path, tmp_path: Path) -> None:
    lake = socket.create_server(("127.0.0.1", 0))
    lake.settimeout(gateway.START_S)
    aws = f'[aws]\ns3_endpoint_url = "http://127.0.0.1:{lake.getsockname()[1]}"\nforce_path_style = true\n'
    control, candidate = RawOrigin(), RawOrigin()
    control.answer = candidate.answer = ANSWER
    running = []
    for name, export, more in (("calm", "", ""), ("hung", 'export = "s3://lake/evidence"', aws)):
        (tmp_path / name).mkdir()
        routes = more + ROUTES % (export, *candidate.address)
        running.append(gateway.start(binary, tmp_path / name, control.address, routes, environment=CREDENTIALS))
    try:
        export, _ = lake.accept()
        assert export.recv(4).startswith(b"PUT"), "it has begun, and will not end"
        clients = [Connection(one.public) for one in running]
        took: list[list[float]] = [[], []]
        told = set()
        # In turn, so that whatever else the machine does meets both.
        for number in range(EACH):
            for client, times in zip(clients, took, strict=True):
                began = time.perf_counter()
                client.send(b"GET /orders HTTP/1.1\r\nHost: shop.test\r\nCookie: session=%d\r\n\r\n" % number)
                told.add(client.take(len(ANSWER)))
                times.append(time.perf_counter() - began)
        assert told == {ANSWER}
        calm, hung = map(sorted, took)
        for share in (0.5, 0.9):
            before, after = calm[int(EACH * share)], hung[int(EACH * share)]
            assert after < 2 * before + 0.005, f"{share}: {before} s, and {after} s while the export hung"

        def counts() -> dict:
            command = [binary, "report", "--format", "json", "--config", running[1].folder / "routes.toml"]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=gateway.START_S)
            return json.loads(done.stdout)["routes"][0]["counts"]

        until(lambda: counts()["sampled"] == EACH)
    finally:
        # It would wait for the lake a while.
        for one in running:
            one.process.kill()
            one.process.wait()
        lake.close()
