"""What test_vanished.py runs in a network namespace, where an address can be taken away from under its connections."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import threading
import time
from pathlib import Path

import gateway
from names_story import loopback_up
from wire import Connection

HOST, PORT = "10.9.8.7", 8000
ENOUGH_S = 60
SIOCSIFADDR, SIOCSIFFLAGS, UP, DOWN = 0x8916, 0x8914, 0x1, 0x0


def ask_kernel(request: int, value: bytes) -> None:
    """Something of the second address of the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, request, struct.pack("16s16s", b"lo:1", value))


def appear() -> None:
    ask_kernel(SIOCSIFADDR, struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton(HOST)))


def vanish() -> None:
    """No packet reaches it, or comes from it, from now on."""
    ask_kernel(SIOCSIFFLAGS, struct.pack("H", DOWN))


def serve() -> None:
    listener = socket.create_server((HOST, PORT))
    connections = []

    def keep_alive(connection: socket.socket) -> None:
        while b"\r\n\r\n" in connection.recv(1 << 16):
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    while True:
        connections.append(listener.accept()[0])
        threading.Thread(target=keep_alive, args=(connections[-1],), daemon=True).start()


def main(binary: Path, folder: Path) -> None:
    loopback_up()
    appear()
    threading.Thread(target=serve, daemon=True).start()
    before = gateway.start(binary, folder, (HOST, PORT))
    for method in ["GET", "POST"]:
        request = f"{method} / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n".encode()
        with Connection(before.public) as client:
            client.send(request)
            assert client.response().status == 204
            vanish()
            began = time.monotonic()
            client.send(request)
            answer = client.response()
            assert answer.status in (502, 504), answer
            assert time.monotonic() - began < ENOUGH_S, f"{method} waited for what never came"
        appear()
    assert before.end() == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
