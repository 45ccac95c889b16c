"""nginx as an upstream over TLS: what both agree on (ALPN) is spoken, and bytes arrive as they are."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from authority import Authority
from nginx import Nginx
from wire import exchange

SAID = 'return 200 "$server_protocol $ssl_protocol $ssl_alpn_protocol $host $content_length";'
NOWHERE = ("127.0.0.1", 9)


@pytest.mark.parametrize(
    ("listen", "h2", "spoken"),
    [
        ("ssl http2", "auto", "HTTP/2.0 TLSv1.3 h2"),
        ("ssl http2", "off", "HTTP/1.1 TLSv1.3 http/1.1"),
        ("ssl", "auto", "HTTP/1.1 TLSv1.3 http/1.1"),
    ],
)
def test_what_both_agree_on_is_spoken(gateways, tmp_path: Path, listen: str, h2: str, spoken: str) -> None:
    authority = Authority(tmp_path)
    authority.issue("origin.internal", "origin")
    (tmp_path / "large").write_bytes(os.urandom(3 << 20))
    more = f"""
        ssl_certificate {tmp_path}/origin.pem;
        ssl_certificate_key {tmp_path}/origin.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        client_max_body_size 8m;
        location /large {{ root {tmp_path}; }}
    """
    with Nginx(tmp_path, NOWHERE, more, SAID, listen) as nginx:
        gateway = gateways(
            NOWHERE,
            f"""
[upstreams.origin]
url = "https://127.0.0.1:{nginx.address[1]}"
h2 = "{h2}"
tls = {{ ca = "{authority.pem}", server_name = "origin.internal" }}
[[route]]
name = "all"
path = "/{{*rest}}"
mode = "migrated"
candidate = "origin"
""",
        )
        head = "POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n"
        answer = exchange(gateway.public, head.encode() + bytes(1_000_000))
        assert (answer.status, answer.body.decode()) == (200, f"{spoken} shop.test 1000000")
        answer = exchange(gateway.public, b"GET /large HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
        large = (tmp_path / "large").read_bytes()
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(large).digest()
