"""A candidate of a parallel run: takes every connection, and answers after a while, or never.

    python3 benches/peers/candidate.py PORT [SECONDS]
"""

import socketserver
import sys
import threading


class Exchange(socketserver.BaseRequestHandler):
    def handle(self):
        while request := self.request.recv(65536):
            if b"\r\n\r\n" not in request:
                continue
            threading.Event().wait(float(sys.argv[2]) if len(sys.argv) > 2 else None)
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Candidate(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512

    def handle_error(self, *_):
        """A client that left is no news."""


Candidate(("127.0.0.1", int(sys.argv[1])), Exchange).serve_forever()
