"""Requests signed for AWS, as botocore's own signer would have signed what arrived."""

from __future__ import annotations

import hashlib
import re
import socket
import threading

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from wire import exchange

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session-token"
REGION = "sa-east-1"


def receive(listener: socket.socket, received: list[bytes]) -> None:
    """Takes one request, whose length is announced, and answers it."""
    connection, _ = listener.accept()
    with connection:
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536)
        head, _, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while length and len(body) < int(length[1]):
            body += connection.recv(65536)
        received.append(head + b"\r\n\r\n" + body)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [("GET", "/images?size=1024x1024&b=%20&a=1", b""), ("POST", "/a%20b/images", b'{"prompt": "um barco"}' * 1000)],
)
def test_what_arrives_is_signed_as_aws_asks_for_it(gateways, monkeypatch, method, target, body):
    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN, "AWS_REGION": REGION,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    listener = socket.create_server(("127.0.0.1", 0))
    here = f"127.0.0.1:{listener.getsockname()[1]}"
    gateway = gateways(
        ("127.0.0.1", 9),
        f"""
[upstreams.images]
url = "http://{here}"
sign = "sigv4"
[[route]]
name = "images"
path = "/{{*rest}}"
mode = "migrated"
candidate = "images"
""",
    )
    received: list[bytes] = []
    upstream = threading.Thread(target=receive, args=(listener, received))
    upstream.start()
    head = f"{method} {target} HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Basic c3B5\r\nConnection: close\r\n"
    answer = exchange(gateway.public, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    upstream.join()
    listener.close()
    assert answer.status == 200, answer

    head, _, arrived = received[0].partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    fields = dict(field.lower().split(": ", 1) for field in lines if not field.lower().startswith("authorization"))
    (authorization,) = [field.split(": ", 1)[1] for field in lines if field.lower().startswith("authorization")]
    assert line == f"{method} {target} HTTP/1.1"
    assert arrived == body
    assert fields["host"] == here
    assert fields["x-amz-security-token"] == TOKEN
    assert fields["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()

    signed = re.search(r"SignedHeaders=([^,]+)", authorization)[1].split(";")
    stamp = next(field.split(": ", 1)[1] for field in lines if field.lower().startswith("x-amz-date"))
    request = AWSRequest(method, f"http://{here}{target}", data=body)
    for name in signed:
        request.headers[name] = stamp if name == "x-amz-date" else fields[name]
    request.context["timestamp"] = stamp
    signer = SigV4Auth(Credentials(KEY, SECRET, TOKEN), "execute-api", REGION)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert signer.signature(text, request) in authorization
