"""What test_names.py runs in a network namespace, where port 53 and /etc/resolv.conf are nobody else's."""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import gateway
from gateway import Gateway, until
from wire import exchange

NAME, PORT = b"\x04shop\x04test\x00", 8000
GET = b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"
NXDOMAIN, SERVFAIL = 3, 2
A = 1


class Dns(threading.Thread):
    """Answers for shop.test: with an address, an error code, nothing inside, or not at all."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        self.says: str | int | None = None

    def run(self) -> None:
        while True:
            query, client = self.socket.recvfrom(512)
            if (answer := self.answer(query)) is not None:
                self.socket.sendto(answer, client)

    def answer(self, query: bytes) -> bytes | None:
        says = self.says
        end = query.index(b"\x00", 12) + 5
        question, (kind,) = query[12:end], struct.unpack(">H", query[end - 4 : end - 2])
        if says == "hang":
            return None
        code = says if isinstance(says, int) else 0
        found = isinstance(says, str) and says != "empty" and kind == A and question.startswith(NAME)
        head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, int(found), 0, 0)
        record = b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 0, 4) + socket.inet_aton(says) if found else b""
        return head + question + record


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS


def resolve_with_ours(folder: Path) -> None:
    ours = folder / "resolv.conf"
    ours.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    subprocess.run(["mount", "--bind", ours, Path("/etc/resolv.conf").resolve()], check=True)


def site(host: str, body: bytes) -> None:
    """Answers every request with `body`."""
    listener = socket.create_server((host, PORT))

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                seen = b""
                while b"\r\n\r\n" not in seen:
                    seen += connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    threading.Thread(target=serve, daemon=True).start()


def lookups(before: Gateway, outcome: str) -> int:
    line = f'figueira_upstream_lookups_total{{upstream="monolith",outcome="{outcome}"}} '
    text = before.ask_admin("/metrics").body.decode()
    return next(int(found[len(line) :]) for found in text.splitlines() if found.startswith(line))


def serves(before: Gateway, body: bytes) -> None:
    for _ in range(20):
        began = time.monotonic()
        answer = exchange(before.public, GET)
        assert (answer.status, answer.body) == (200, body), answer
        assert time.monotonic() - began < 1, "a request waited for the resolver"


def main(binary: Path, folder: Path) -> None:
    loopback_up()
    resolve_with_ours(folder)
    site("127.0.0.2", b"first")
    site("127.0.0.3", b"second")
    dns = Dns()
    dns.says = NXDOMAIN
    dns.start()

    before = gateway.start(binary, folder, ("shop.test", PORT))
    assert exchange(before.public, GET).status == 502
    dns.says = "127.0.0.2"
    until(lambda: exchange(before.public, GET).status == 200)
    serves(before, b"first")

    for says in [NXDOMAIN, SERVFAIL, "empty", "hang"]:
        enough = lookups(before, "failed") + 1
        dns.says = says
        until(lambda: lookups(before, "failed") >= enough)  # noqa: B023
        serves(before, b"first")
    warned = [event for event in before.log() if event["message"] == "a name does not resolve: its last addresses serve"]
    assert len(warned) == 1, warned

    dns.says = "127.0.0.3"
    until(lambda: exchange(before.public, GET).body == b"second")
    serves(before, b"second")
    assert before.end() == 0
    print("served throughout")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
