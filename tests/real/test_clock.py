"""The clock of the machine jumps a day, in either direction: what waits by it would end at once, or never."""

from __future__ import annotations

import json
from pathlib import Path

from gateway import until
from wire import Connection, exchange

GET = b"GET /get HTTP/1.1\r\nHost: shop.example\r\n\r\n"


def test_a_jump_of_the_clock_ends_nothing(gateways, site, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    [library] = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    faked = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    limits = 'limits = { head_timeout = "60s", idle_timeout = "60s", body_timeout = "60s" }'
    gateway = gateways(site, keys=limits, environment=faked)

    def day() -> str:
        exchange(gateway.public, GET)
        until(lambda: any(event["message"] == "request" for event in gateway.log()))
        return [event["ts"] for event in gateway.log() if event["message"] == "request"][-1][:10]

    with Connection(gateway.public) as idle, Connection(gateway.public) as slow, Connection(gateway.public) as waiting:
        idle.send(GET)
        assert idle.response().status == 200
        slow.send(GET[:20])
        waiting.send(b"GET /more/events/clock HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        head = waiting.head()
        before = day()
        for jump in ["+1d", "-1d"]:
            clock.write_text(jump)
            until(lambda: day() != before)
            before = day()
        # All of them are as they were: idle, half a head, half an answer.
        idle.send(GET)
        assert idle.response().status == 200
        slow.send(GET[20:])
        assert slow.response().status == 200
        exchange(site, b"GET /more/release/clock HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        waiting.body(head)
        assert head.body.endswith(b"data: 2\n\n")
    assert json.loads(gateway.ask_admin("/readyz").body)["ready"]
