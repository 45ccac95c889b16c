"""The site behind the gateway: httpbin, and under /more what httpbin has not: large bodies, events, odd headers."""

from __future__ import annotations

import hashlib
import itertools
import threading

import httpbin

MEGABYTE = 1 << 20
BLOCK = bytes(range(256)) * (MEGABYTE // 256)

released: dict[str, threading.Event] = {}


def download(path: str, start_response):
    """As many megabytes as the path says, length known."""
    count = int(path)
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(count * MEGABYTE))])
    return itertools.repeat(BLOCK, count)


def upload(environ, start_response):
    """What came, as its length and hash."""
    digest, length, framing = hashlib.sha256(), 0, environ.get("CONTENT_LENGTH") or "chunked"
    while piece := environ["wsgi.input"].read(MEGABYTE):
        digest.update(piece)
        length += len(piece)
    body = f"{framing} {length} {digest.hexdigest()}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def events(name: str, start_response):
    """An event, and another once /more/release/NAME was asked for: only a streaming proxy shows the first before."""
    gate = released.setdefault(name, threading.Event())
    start_response("200 OK", [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")])
    yield b"event: first\ndata: 1\n\n"
    gate.wait(30)
    yield b"event: second\ndata: 2\n\n"


def release(name: str, start_response):
    released.setdefault(name, threading.Event()).set()
    start_response("204 No Content", [])
    return []


def odd(start_response):
    """Fields as only an old site sends them."""
    fields = [
        ("X-UPPER", "1"), ("x-lower", "2"), ("X-mIxEd", "3"), ("Set-Cookie", "a=1; Path=/"), ("SET-COOKIE", "b=2"),
        ("set-cookie", "a=3; Path=/old"), ("P3P", 'CP="IDC DSP"'), ("X-Latin", "caf\xe9"), ("X-Empty", ""),
        ("Content-Type", "text/html;charset=ISO-8859-1"), ("Content-Length", "5"),
    ]  # fmt: skip
    start_response("200 As You Wish", fields)
    return [b"caf\xe9\n"]


def more(environ, start_response):
    action, _, rest = environ["PATH_INFO"].removeprefix("/more/").partition("/")
    if action == "download":
        return download(rest, start_response)
    if action == "upload":
        return upload(environ, start_response)
    if action == "events":
        return events(rest, start_response)
    if action == "release":
        return release(rest, start_response)
    if action == "odd":
        return odd(start_response)
    start_response("404 Not Found", [("Content-Length", "0")])
    return []


def app(environ, start_response):
    site = more if environ["PATH_INFO"].startswith("/more/") else httpbin.app
    return site(environ, start_response)
