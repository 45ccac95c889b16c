"""nginx and HAProxy in front, which introduce their clients by the PROXY protocol."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from authority import Authority
from gateway import Gateway, until
from raw_origin import RawOrigin
from wire import Address, Connection

PATIENCE_S = 30
# Not the address that the fronts themselves come from.
CLIENT = "127.0.0.2"
TRUSTED = 'proxy_protocol = true\ntrusted_proxies = ["127.0.0.1/32"]\n'
REQUEST = b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"


@contextmanager
def running(
    command: list[object], listener: socket.socket, folder: Path, environment: dict[str, str]
) -> Iterator[Address]:
    """A front on a socket that was bound here: no port is guessed."""
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            pass_fds=[listener.fileno()], env=os.environ | environment,
        )
    try:
        yield listener.getsockname()
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        listener.close()


def nginx(gateway: Gateway, folder: Path):
    """Sends version 1."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    (folder / "nginx.conf").write_text(
        f"""
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
worker_processes 1;
events {{ worker_connections 256; }}
stream {{
    server {{
        listen 127.0.0.1:{listener.getsockname()[1]};
        proxy_pass 127.0.0.1:{gateway.public[1]};
        proxy_protocol on;
    }}
}}
"""
    )
    inherited = {"NGINX": f"{listener.fileno()};"}
    return running(["nginx", "-c", folder / "nginx.conf", "-p", folder], listener, folder, inherited)


def haproxy(gateway: Gateway, folder: Path, sends: str):
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    (folder / "haproxy.cfg").write_text(
        f"""
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen front
    bind fd@{listener.fileno()}
    server gateway 127.0.0.1:{gateway.public[1]} {sends}
"""
    )
    return running(["haproxy", "-db", "-f", folder / "haproxy.cfg"], listener, folder, {})


FRONTS = {
    "nginx, version 1": nginx,
    "haproxy, version 1": lambda gateway, folder: haproxy(gateway, folder, "send-proxy"),
    "haproxy, version 2": lambda gateway, folder: haproxy(gateway, folder, "send-proxy-v2"),
    # With extensions: a checksum, the client's name for us, an id.
    "haproxy, extended": lambda gateway, folder: haproxy(
        gateway, folder, "send-proxy-v2 proxy-v2-options crc32c,authority,unique-id"
    ),
}


def connected(front: Address) -> Connection:
    client = socket.create_connection(front, timeout=PATIENCE_S, source_address=(CLIENT, 0))
    return Connection(client)


@pytest.mark.parametrize("front", FRONTS)
def test_a_client_is_known_behind(front, gateways, raw_origin: RawOrigin, tmp_path: Path) -> None:
    gateway = gateways(raw_origin.address, keys=TRUSTED)
    with FRONTS[front](gateway, tmp_path) as place:
        with connected(place) as client:
            for _ in range(3):
                client.send(REQUEST)
                assert client.response().status == 204
    told = f"\r\nx-forwarded-for: {CLIENT}\r\n".encode()
    assert [told in head.lower() + b"\r\n" for head in raw_origin.heads] == [True] * 3

    def clients() -> list[str]:
        return [event["client"] for event in gateway.log() if event["message"] == "request"]

    until(lambda: len(clients()) == 3)
    assert clients() == [CLIENT] * 3


@pytest.mark.parametrize(("sends", "version"), [("send-proxy", "--http1.1"), ("send-proxy-v2", "--http2")])
def test_tls_is_spoken_behind(sends, version, gateways, raw_origin: RawOrigin, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("shop.test", "shop")
    gateway = gateways(raw_origin.address, keys=TRUSTED + authority.keys("shop"))
    with haproxy(gateway, tmp_path, sends) as place:
        command = ["curl", "-sS", "--interface", CLIENT, "--cacert", authority.pem, version, "-w", "%{http_code}"]
        command += ["--resolve", f"shop.test:{place[1]}:127.0.0.1", f"https://shop.test:{place[1]}/"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert said.stdout == "204", said.stderr
    head = raw_origin.heads[0].lower() + b"\r\n"
    assert f"\r\nx-forwarded-for: {CLIENT}\r\n".encode() in head
    assert b"\r\nx-forwarded-proto: https\r\n" in head


def test_haproxy_asks_for_itself(gateways, raw_origin: RawOrigin, tmp_path: Path) -> None:
    """Its health checks say LOCAL."""
    gateway = gateways(raw_origin.address, keys=TRUSTED)
    checked = "send-proxy-v2 check check-send-proxy inter 100ms\n    option httpchk GET /check"
    with haproxy(gateway, tmp_path, checked):
        until(lambda: any(head.startswith(b"GET /check") for head in raw_origin.heads))
    assert b"\r\nx-forwarded-for: 127.0.0.1" in raw_origin.heads[0].lower()


def test_whoever_comes_past_the_front_is_turned_away(gateways, raw_origin: RawOrigin) -> None:
    gateway = gateways(raw_origin.address, keys=TRUSTED)
    with connected(gateway.public) as client:
        client.send(b"PROXY TCP4 8.8.8.8 8.8.8.8 1 1\r\n" + REQUEST)
        try:
            assert client.socket.recv(1) == b""
        except ConnectionResetError:
            pass
    assert not raw_origin.heads
