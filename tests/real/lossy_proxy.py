"""A proxy as many are: it reads whole answers, and writes them down again in its own way."""

from __future__ import annotations

import socket
import threading

from wire import Address, Connection, Response

HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"content-length"}


class LossyProxy:
    """Forwards to `site`; `change` spoils each answer before it is written."""

    def __init__(self, site: Address, change) -> None:
        self.site, self.change = site, change
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
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
                while True:
                    self.one(connection)
            except (EOFError, OSError, ValueError, AssertionError):
                return

    def one(self, connection: Connection) -> None:
        request = connection.head()
        method = request.status_line.split(b" ")[0].decode()
        connection.body_of_request(request)
        with Connection(self.site) as site:
            fields = [field for field in request.fields if field[0].lower() not in HOP | {b"expect"}]
            length = [(b"Content-Length", b"%d" % len(request.body))] if request.body else []
            line = request.status_line.replace(b"HTTP/1.0", b"HTTP/1.1")
            site.send(head(line, [*fields, *length, (b"Connection", b"close")]) + request.body)
            answer = site.response(method)
        bodiless = method == "HEAD" or answer.status in (204, 304)
        self.change(answer)
        fields = []
        for name, value in answer.fields:
            if name.lower() == b"content-length" and not bodiless:
                fields.append((name, b"%d" % len(answer.body)))
            elif name.lower() not in HOP or name.lower() == b"content-length":
                fields.append((name, value))
        connection.send(head(answer.status_line, fields) + answer.body)


def head(line: bytes, fields: list[tuple[bytes, bytes]]) -> bytes:
    return b"\r\n".join([line, *(name + b": " + value for name, value in fields), b"", b""])


def reordered(answer: Response) -> None:
    answer.fields.sort(key=lambda field: field[0].lower())


def added(answer: Response) -> None:
    answer.fields.append((b"X-Cache", b"MISS"))


def lower_case(answer: Response) -> None:
    answer.fields = [(name.lower(), value) for name, value in answer.fields]


def reworded(answer: Response) -> None:
    answer.status_line = answer.status_line.replace(b" OK", b" Ok").replace(b" NOT FOUND", b" Nowhere")


def one_byte(answer: Response) -> None:
    if len(answer.body) > 10:
        answer.body = answer.body[:7] + bytes([answer.body[7] ^ 1]) + answer.body[8:]
