"""HTTP/1.1 in bytes: requests as written here, responses as they came, nothing tidied in between."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

TIMEOUT_S = 60
Address = tuple[str, int]


@dataclass
class Response:
    """One response: its lines as they came, its body without the framing."""

    status_line: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    interim: list[Response] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.status_line.split(b" ", 2)[1])

    def all(self, name: str) -> list[bytes]:
        wanted = name.lower().encode()
        return [value for key, value in self.fields if key.lower() == wanted]

    def one(self, name: str) -> bytes | None:
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None


class Connection:
    """One side of a connection: that of a client, or what an origin accepted."""

    def __init__(self, peer: Address | socket.socket):
        self.socket = peer if isinstance(peer, socket.socket) else socket.create_connection(peer, timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def fill(self) -> bool:
        """Reads once; false at the end."""
        piece = self.socket.recv(1 << 20)
        self.buffer += piece
        return bool(piece)

    def until(self, mark: bytes) -> bytes:
        """Everything before `mark`, which is taken off too."""
        start = 0
        while (at := self.buffer.find(mark, start)) < 0:
            start = max(0, len(self.buffer) - len(mark) + 1)
            if not self.fill():
                raise EOFError(f"closed before {mark!r}, after {bytes(self.buffer[:200])!r}")
        return self.take(at + len(mark))[: -len(mark)]

    def take(self, count: int) -> bytes:
        while len(self.buffer) < count:
            if not self.fill():
                raise EOFError(f"closed {count - len(self.buffer)} bytes early")
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def head(self) -> Response:
        lines = self.until(b"\r\n\r\n").split(b"\r\n")
        return Response(lines[0], [parse_field(line) for line in lines[1:]])

    def response(self, method: str = "GET") -> Response:
        """One response, the interim ones before it included."""
        interim = []
        while 100 <= (response := self.head()).status < 200 and response.status != 101:
            interim.append(response)
        response.interim = interim
        if method != "HEAD" and response.status not in (101, 204, 304):
            self.body(response)
        return response

    def body(self, response: Response) -> None:
        codings = response.all("transfer-encoding")
        if codings:
            assert codings == [b"chunked"], codings
            pieces = list(self.chunks())
            response.body = b"".join(pieces)
            while line := self.until(b"\r\n"):
                response.trailers.append(parse_field(line))
        elif (length := response.one("content-length")) is not None:
            response.body = self.take(int(length))
        else:
            while self.fill():
                pass
            response.body = self.take(len(self.buffer))

    def body_of_request(self, request: Response) -> None:
        """That of a request, which has none unless it says so."""
        if request.all("transfer-encoding") or request.all("content-length"):
            self.body(request)

    def chunks(self):
        """The pieces of a chunked body as they come, up to and without the last."""
        while size := int(self.until(b"\r\n").split(b";")[0], 16):
            yield self.take(size)
            assert self.take(2) == b"\r\n"


def parse_field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    assert colon and name == name.strip(), f"no header field: {line!r}"
    return name, value.strip(b" \t")


def exchange(address: Address, request: bytes) -> Response:
    """One request on a connection of its own."""
    method = request.split(b" ", 1)[0].decode()
    with Connection(address) as connection:
        connection.send(request)
        return connection.response(method)
