"""An origin that keeps what it reads and answers what it is told, byte for byte."""

from __future__ import annotations

import re
import socket
import threading

from wire import Address, Connection


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
        with Connection(client) as connection:
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
