"""The user cannot tell that the gateway is there: every exchange, direct and through, byte for byte.

What may differ is what the rules name: `Date` where it is the origin's clock, hop-by-hop fields, and on requests the
`X-Forwarded-*` and `X-Request-Id` that the gateway adds. A direct request carries the same `X-Forwarded-*` from the
start, so that a site which echoes them answers with the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
from collections.abc import Iterator

import brotlicffi
import pytest
from wire import Connection, Response, exchange

HOST = "shop.example"
GAINED = [("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", HOST)]
HOP_BY_HOP = {b"connection", b"keep-alive", b"transfer-encoding"}
MEGABYTE = 1 << 20


def request(method: str, target: str, *fields: tuple[str, str], body: bytes | None = None) -> tuple[str, str, list, bytes | None]:
    return method, target, list(fields), body


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def wire(case, *, direct: bool) -> bytes:
    method, target, fields, body = case
    lines = [f"{method} {target} HTTP/1.1", f"Host: {HOST}", *(f"{name}: {value}" for name, value in fields)]
    framed = any(name.lower() in ("content-length", "transfer-encoding") for name, _ in fields)
    if body is not None and not framed:
        lines.append(f"Content-Length: {len(body)}")
    if direct:
        lines += [f"{name}: {value}" for name, value in GAINED]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


MULTIPART = (
    b"--frontier\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na fig tree\r\n"
    b"--frontier\r\nContent-Disposition: form-data; name=\"image\"; filename=\"fig.png\"\r\n"
    b"Content-Type: image/png\r\n\r\n" + bytes(range(256)) * 16 + b"\r\n--frontier--\r\n"
)
FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")

CASES = {
    # methods
    "get": request("GET", "/get?a=1&b=2&a=3"),
    "post-form": request("POST", "/post", FORM, body=b"a=1&b=%C3%A9"),
    "post-json": request("POST", "/post", JSON, body=b'{"prompt": "a fig tree", "n": 2}'),
    "post-empty": request("POST", "/post", body=b""),
    "post-without-a-body": request("POST", "/post"),
    "put": request("PUT", "/put", JSON, body=b'{"a": null}'),
    "patch": request("PATCH", "/patch", JSON, body=b"[1, 2]"),
    "delete": request("DELETE", "/delete"),
    "delete-with-a-body": request("DELETE", "/delete", JSON, body=b'{"id": 7}'),
    "head": request("HEAD", "/get"),
    "head-of-an-image": request("HEAD", "/image/png"),
    "options": request("OPTIONS", "/get"),
    "method-not-allowed": request("DELETE", "/get"),
    # statuses
    "no-content": request("GET", "/status/204"),
    "not-modified": request("GET", "/cache", ("If-None-Match", '"x"')),
    "teapot": request("GET", "/status/418"),
    "unauthorized": request("GET", "/status/401"),
    "server-error": request("GET", "/status/500"),
    "unavailable": request("GET", "/status/503"),
    "not-found": request("GET", "/there/is/no/such/page"),
    "odd-status": request("GET", "/status/299"),
    # redirects and cookies
    "redirect-relative": request("GET", "/relative-redirect/2"),
    "redirect-absolute": request("GET", "/absolute-redirect/2"),
    "redirect-elsewhere": request("GET", "/redirect-to?url=http%3A%2F%2Felsewhere.example%2F&status_code=307"),
    "redirect-of-a-post": request("POST", "/redirect-to?url=/get&status_code=308", FORM, body=b"a=1"),
    "cookie-set": request("GET", "/cookies/set?session=abc&theme=dark"),
    "cookie-sent": request("GET", "/cookies", ("Cookie", "session=abc; theme=dark")),
    "cookie-deleted": request("GET", "/cookies/delete?session="),
    # codings and types
    "gzip": request("GET", "/gzip", ("Accept-Encoding", "gzip")),
    "deflate": request("GET", "/deflate", ("Accept-Encoding", "deflate")),
    "brotli": request("GET", "/brotli", ("Accept-Encoding", "br")),
    "utf-8": request("GET", "/encoding/utf8"),
    "html": request("GET", "/html"),
    "xml": request("GET", "/xml"),
    "png": request("GET", "/image/png"),
    "jpeg": request("GET", "/image/jpeg"),
    "webp": request("GET", "/image/webp"),
    "svg": request("GET", "/image/svg"),
    "robots": request("GET", "/robots.txt"),
    # ranges, conditions, caches
    "range-first": request("GET", "/range/4096?chunk_size=512", ("Range", "bytes=0-99")),
    "range-last": request("GET", "/range/4096", ("Range", "bytes=-100")),
    "range-open": request("GET", "/range/4096", ("Range", "bytes=4000-")),
    "range-impossible": request("GET", "/range/1024", ("Range", "bytes=5000-6000")),
    "etag-matches": request("GET", "/etag/fig", ("If-None-Match", '"fig"')),
    "etag-differs": request("GET", "/etag/fig", ("If-None-Match", '"other"')),
    "etag-demanded": request("GET", "/etag/fig", ("If-Match", '"other"')),
    "cache-control": request("GET", "/cache/60"),
    # authentication
    "basic-refused": request("GET", "/basic-auth/user/secret"),
    "basic": request("GET", "/basic-auth/user/secret", ("Authorization", "Basic dXNlcjpzZWNyZXQ=")),
    "bearer": request("GET", "/bearer", ("Authorization", "Bearer abc")),
    # bodies
    "multipart": request(
        "POST", "/post", ("Content-Type", "multipart/form-data; boundary=frontier"), body=MULTIPART
    ),
    "chunked-up": request(
        "POST", "/more/upload", ("Transfer-Encoding", "chunked"), body=chunked(b"one", b"two" * 1000, b"3")
    ),
    "chunked-up-empty": request("POST", "/more/upload", ("Transfer-Encoding", "chunked"), body=chunked()),
    "chunked-down": request("GET", "/stream/20"),
    "bytes": request("GET", "/bytes/65536?seed=7"),
    "bytes-streamed": request("GET", "/stream-bytes/65536?seed=7&chunk_size=1000"),
    "drip": request("GET", "/drip?duration=0.5&numbytes=10&code=200&delay=0"),
    "delayed": request("GET", "/delay/0.3"),
    "expect-continue": request("POST", "/post", ("Expect", "100-continue"), FORM, body=b"a=1"),
    # heads
    "many-fields": request("GET", "/headers", *((f"X-Field-{n}", str(n)) for n in range(80))),
    "big-field": request("GET", "/headers", ("X-Big", "x" * 7000)),
    "big-answer-field": request("GET", "/response-headers?X-Big=" + "y" * 3000),
    "odd-fields": request("GET", "/more/odd"),
    "hop-by-hop-request": request("GET", "/headers", ("Connection", "close, X-Hop"), ("Keep-Alive", "timeout=5")),
    "fields-of-one-name": request("GET", "/response-headers?X-Twice=1&X-Twice=2&Other=3"),
    # targets
    "path-escapes": request("GET", "/anything/a%2Fb/%7Ec/%e9"),
    "path-dots-and-slashes": request("GET", "/anything//a/../b/./c"),
    "path-parameters": request("GET", "/anything/a;b=1,c"),
    "query-odd": request("GET", "/anything?x&&y=&=z&a=%zz"),
    "query-empty": request("GET", "/anything?"),
    "path-long": request("GET", "/anything/" + "a" * 3000),
}  # fmt: skip

# The hop that the case is about ends at the gateway: the site does not see it.
ENDS_AT_THE_HOP = {"hop-by-hop-request"}


def comparable(response: Response) -> dict[str, object]:
    fields = [(name, value) for name, value in response.fields if name.lower() not in HOP_BY_HOP | {b"date"}]
    return {
        "status line": response.status_line,
        "fields": fields,
        "dates": len(response.all("date")),
        "body": response.body,
        "trailers": response.trailers,
        "interim": [interim.status_line for interim in response.interim],
    }


def test_there_are_enough() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", CASES)
def test_same_bytes(name: str, site, before_site) -> None:
    case = CASES[name]
    direct_case = case
    if name in ENDS_AT_THE_HOP:
        direct_case = request(case[0], case[1])
    direct = exchange(site, wire(direct_case, direct=True))
    through = exchange(before_site.public, wire(case, direct=False))
    assert comparable(through) == comparable(direct)


def test_all_on_one_connection(site, before_site) -> None:
    """Keep-alive: whatever came before, the next exchange is whole."""
    again = ["get", "head", "no-content", "not-modified", "post-json", "chunked-down", "png", "chunked-up", "gzip"] * 5
    with Connection(before_site.public) as connection:
        for name in again:
            connection.send(wire(CASES[name], direct=False))
            through = connection.response(CASES[name][0])
            assert comparable(through) == comparable(exchange(site, wire(CASES[name], direct=True))), name


def test_pipelined(before_site) -> None:
    names = ["get", "no-content", "post-form", "head", "bytes"]
    with Connection(before_site.public) as connection:
        connection.send(b"".join(wire(CASES[name], direct=False) for name in names))
        got = [connection.response(CASES[name][0]).status for name in names]
    assert got == [200, 204, 200, 200, 200]


def test_codings_are_passed_on_and_not_undone(before_site) -> None:
    packed = exchange(before_site.public, wire(CASES["gzip"], direct=False)).body
    assert json.loads(gzip.decompress(packed))["gzipped"] is True
    packed = exchange(before_site.public, wire(CASES["brotli"], direct=False)).body
    assert json.loads(brotlicffi.decompress(packed))["brotli"] is True


def test_100_mb_down(site, before_site) -> None:
    case = request("GET", "/more/download/100")
    hashes = []
    for address, direct in ((site, True), (before_site.public, False)):
        response = exchange(address, wire(case, direct=direct))
        assert len(response.body) == 100 * MEGABYTE
        hashes.append(hashlib.sha256(response.body).digest())
    assert hashes[0] == hashes[1]


def blocks() -> Iterator[bytes]:
    for number in range(100):
        yield number.to_bytes(4, "big") * (MEGABYTE // 4)


@pytest.mark.parametrize("framing", ["content-length", "chunked"])
def test_100_mb_up(framing: str, before_site) -> None:
    known = framing == "content-length"
    how = ("Content-Length", str(100 * MEGABYTE)) if known else ("Transfer-Encoding", "chunked")
    digest = hashlib.sha256()
    with Connection(before_site.public) as connection:
        connection.send(wire(request("POST", "/more/upload", how), direct=False))
        for block in blocks():
            digest.update(block)
            connection.send(block if known else b"%x\r\n%s\r\n" % (len(block), block))
        if not known:
            connection.send(b"0\r\n\r\n")
        response = connection.response("POST")
    seen = str(100 * MEGABYTE) if known else "chunked"
    assert response.body.decode() == f"{seen} {100 * MEGABYTE} {digest.hexdigest()}\n"


def test_events_come_as_they_are_said(before_site) -> None:
    with Connection(before_site.public) as connection:
        connection.send(wire(request("GET", "/more/events/gate"), direct=False))
        response = connection.head()
        assert response.one("content-type") == b"text/event-stream"
        chunks = connection.chunks()
        assert next(chunks) == b"event: first\ndata: 1\n\n"
        # Only now may the site say the second: had the gateway held the first back, this line were never reached.
        assert exchange(before_site.public, wire(request("GET", "/more/release/gate"), direct=False)).status == 204
        assert b"".join(chunks) == b"event: second\ndata: 2\n\n"


def test_an_upload_is_not_held_back(gateways, raw_origin) -> None:
    gateway = gateways(raw_origin.address)
    with Connection(gateway.public) as connection:
        connection.send(wire(request("POST", "/slow", ("Transfer-Encoding", "chunked")), direct=False))
        connection.send(b"5\r\nfirst\r\n")
        assert raw_origin.first_piece.wait(10), "the first piece did not arrive before the last was sent"
        connection.send(b"4\r\nlast\r\n0\r\n\r\n")
        assert connection.response("POST").status == 204


def test_requests_arrive_as_they_were_sent(gateways, raw_origin) -> None:
    """What the origin reads: target, names, case, order and values, and what the gateway adds after them."""
    gateway = gateways(raw_origin.address)
    fields = [
        b"hOsT: Shop.Example", b"X-UPPER: 1", b"x-lower: 2", b"Accept: text/html, */*;q=0.1", b"X-mIxEd:  padded",
        b"Cookie: a=1; b=2", b"X-Latin: caf\xe9", b"X-Empty:", b"x-UPPER: again",
    ]  # fmt: skip
    for target in [b"/", b"//a//b", b"/a/../b", b"/%2e%2e/%2F;x=1", b"/?", b"/?x&&y=%zz", b"/~a'(b)*!$,", b"/a|b{c}"]:
        exchange(gateway.public, b"GET " + target + b" HTTP/1.1\r\n" + b"\r\n".join(fields) + b"\r\n\r\n")
        line, *got = raw_origin.heads[-1].split(b"\r\n")
        assert line == b"GET " + target + b" HTTP/1.1"
        added = {name.lower(): value for name, value in map(split, got) if name.lower().startswith(b"x-forwarded-")}
        kept = [field for field in map(split, got) if field[0].lower() not in {*added, b"x-request-id"}]
        # Fields of one name are kept together, at the first one's place.
        in_order = [split(fields[n]) for n in (0, 1, 8, 2, 3, 4, 5, 6, 7)]
        assert kept == in_order
        assert added == {
            b"x-forwarded-for": b"127.0.0.1",
            b"x-forwarded-proto": b"http",
            b"x-forwarded-host": b"Shop.Example",
        }
        assert sum(name.lower() == b"x-request-id" for name, _ in map(split, got)) == 1


def split(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.strip()


@pytest.mark.parametrize("framing", [b"Content-Length: 100\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\n"])
def test_a_cut_answer_is_never_passed_on_as_whole(framing: bytes, gateways, raw_origin) -> None:
    raw_origin.answer = b"HTTP/1.1 200 OK\r\n" + framing + b"only "
    raw_origin.closes = True
    gateway = gateways(raw_origin.address)
    with pytest.raises((EOFError, ConnectionResetError)):
        exchange(gateway.public, wire(request("GET", "/cut"), direct=False))


def test_a_monolith_that_is_down_is_a_clear_502(gateways) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()
    gateway = gateways(nobody)
    response = exchange(gateway.public, wire(request("GET", "/"), direct=False))
    assert response.status == 502
    assert response.one("content-type") == b"application/problem+json"
    assert json.loads(response.body)["status"] == 502
