"""A proxy between the gateway and one of the services that it needs: passes everything on, and at the step that it is
told does something else - before the service has seen the request, or after it has had its effect."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Trap:
    """What happens once, at the `count`-th request that `matches`."""

    matches: Callable[[str, str, dict], bool]
    act: Callable[[], None]
    after: bool
    """After the service has answered, instead of before it is asked."""
    count: int = 1
    times: int = 1
    answer: int | None = None
    """The status that is answered instead; none: the connection is cut."""
    content: bytes = b""
    """What is answered with that status."""
    passes: bool = False
    """Whether the exchange then goes on as if nothing had happened."""


class Wire:
    """One proxy."""

    def __init__(self, upstream: tuple[str, int]):
        self.upstream = upstream
        self.traps: list[Trap] = []
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def relay(self):
                outer.relay(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = relay

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def set(self, *traps: Trap) -> None:
        with self.lock:
            self.traps = list(traps)

    def sprung(self, handler) -> Trap | None:
        with self.lock:
            for trap in self.traps:
                if trap.times and trap.matches(handler.command, handler.path, handler.headers):
                    trap.count -= 1
                    if trap.count <= 0:
                        trap.times -= 1
                        return trap
        return None

    def relay(self, handler) -> None:
        length = int(handler.headers.get("content-length", 0))
        body = handler.rfile.read(length)
        trap = self.sprung(handler)
        if trap and not trap.after and self.spring(trap, handler):
            return
        service = http.client.HTTPConnection(*self.upstream, timeout=60)
        service.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
        for name, value in handler.headers.items():
            if name.lower() not in ("connection", "expect", "transfer-encoding"):
                service.putheader(name, value)
        service.endheaders(body)
        answer = service.getresponse()
        content = answer.read()
        service.close()
        if trap and trap.after and self.spring(trap, handler):
            return
        handler.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                handler.send_header(name, value)
        promised = answer.getheader("content-length")
        handler.send_header("content-length", promised if handler.command == "HEAD" and promised else str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def spring(self, trap: Trap, handler) -> bool:
        """Whether the exchange has ended."""
        trap.act()
        if trap.passes:
            return False
        if trap.answer is None:
            handler.close_connection = True
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.connection.close()
        else:
            handler.send_response_only(trap.answer)
            handler.send_header("content-length", str(len(trap.content)))
            handler.end_headers()
            handler.wfile.write(trap.content)
        return True


def nothing() -> None:
    """A trap that only breaks the exchange."""


def slow() -> None:
    """A trap that takes its time."""
    time.sleep(0.4)
