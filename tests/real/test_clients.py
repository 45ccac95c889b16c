"""The clients that people use: curl, h2load, openssl, the Python libraries; and nginx before the gateway and behind it."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
from gateway import Gateway
from nginx import Nginx
from wire import Connection, exchange

TIMEOUT_S = 60


def run(*command: object, **more) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(word) for word in command], capture_output=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL, **more
    )


def curl(*words: object) -> bytes:
    done = run("curl", "--silent", "--show-error", "--fail", "--max-time", TIMEOUT_S, *words)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate of its own for 127.0.0.1, made by openssl."""
    folder = tmp_path_factory.mktemp("certificate")
    made = run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2,
        "-subj", "/CN=shop.test", "-addext", "subjectAltName=DNS:shop.test,IP:127.0.0.1",
        "-keyout", folder / "key.pem", "-out", folder / "cert.pem",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr.decode()
    return folder / "cert.pem"


@pytest.fixture(scope="session")
def secure(gateways, site, certificate) -> Gateway:
    """A gateway before the site that speaks TLS."""
    key = certificate.with_name("key.pem")
    return gateways(site, f'[gateway.tls]\ncertificate = "{certificate}"\nkey = "{key}"\n')


def secure_url(gateway: Gateway) -> str:
    return gateway.url.replace("http://", "https://")


VERSIONS = {"--http1.0": "1", "--http1.1": "1.1", "--http2-prior-knowledge": "2"}


@pytest.mark.parametrize("version", VERSIONS)
def test_curl_in_every_version(version: str, before_site) -> None:
    got = curl(version, "--write-out", " %{http_version}", f"{before_site.url}/bytes/5000?seed=7")
    assert len(got[:5000]) == 5000 and got[5000:] == b" " + VERSIONS[version].encode()


def test_curl_over_tls_chooses_http2(secure, certificate) -> None:
    words = ["--cacert", certificate, "--write-out", "%{http_version}", "--output", "/dev/null"]
    assert curl(*words, f"{secure_url(secure)}/get") == b"2"
    assert curl(*words, "--http1.1", f"{secure_url(secure)}/get") == b"1.1"
    assert curl(*words, "--tls-max", "1.2", f"{secure_url(secure)}/get") == b"2"


@pytest.mark.parametrize("version", VERSIONS)
def test_curl_uploads(version: str, before_site, tmp_path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(bytes(range(256)) * 8000)
    for more in ([], ["--header", "Expect: 100-continue"], ["--header", "Transfer-Encoding: chunked"]):
        if more and version != "--http1.1":
            continue
        said = curl(version, *more, "--data-binary", f"@{file}", f"{before_site.url}/more/upload")
        assert b" 2048000 " in said, said


def test_curl_sees_early_hints(gateways, raw_origin) -> None:
    raw_origin.answer = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    )
    gateway = gateways(raw_origin.address)
    got = curl("--include", f"{gateway.url}/")
    assert got.startswith(b"HTTP/1.1 103 Early Hints\r\n") and got.endswith(b"\r\n\r\nok")
    assert b"</style.css>; rel=preload" in got


def test_h2load_is_served(before_site, secure) -> None:
    for url in (f"{before_site.url}/get", f"{secure_url(secure)}/get"):
        done = run("h2load", "-n", 300, "-c", 3, "-m", 10, url)
        assert b"300 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout.decode() + done.stderr.decode()


def test_openssl_agrees_on_a_version_and_a_protocol(secure, certificate) -> None:
    address = f"{secure.public[0]}:{secure.public[1]}"
    for version, alpn, agreed in [("-tls1_3", "h2,http/1.1", "h2"), ("-tls1_2", "http/1.1", "http/1.1")]:
        done = run("openssl", "s_client", "-connect", address, "-CAfile", certificate, "-alpn", alpn, version)
        said = done.stdout.decode(errors="replace")
        assert "Verify return code: 0 (ok)" in said, said
        assert f"ALPN protocol: {agreed}" in said, said
    refused = run("openssl", "s_client", "-connect", address, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    assert refused.returncode != 0


def test_httpx_over_http2(secure, certificate, before_site) -> None:
    trust = ssl.create_default_context(cafile=str(certificate))
    for url, more in ((secure_url(secure), {"verify": trust}), (before_site.url, {"http1": False})):
        with httpx.Client(http2=True, timeout=TIMEOUT_S, **more) as client:
            answer = client.post(f"{url}/post?a=b", json={"a": [1, 2]}, headers={"X-Own": "1"})
            assert answer.http_version == "HTTP/2" and answer.json()["json"] == {"a": [1, 2]}
            assert answer.json()["headers"]["X-Own"] == "1" and answer.json()["args"] == {"a": "b"}
            answer = client.get(f"{url}/redirect/2", follow_redirects=True)
            assert answer.status_code == 200 and len(answer.history) == 2
            with client.stream("GET", f"{url}/more/download/2") as answer:
                assert sum(len(piece) for piece in answer.iter_raw()) == 2 << 20


def test_the_h2_library_runs_streams_side_by_side(before_site) -> None:
    with socket.create_connection(before_site.public, timeout=TIMEOUT_S) as connection:
        state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        state.initiate_connection()
        streams = {}
        for number in range(20):
            stream = state.get_next_available_stream_id()
            streams[stream] = (number, bytearray())
            fields = [(":method", "GET"), (":path", f"/anything?{number}"), (":scheme", "http"), (":authority", "shop.test")]
            state.send_headers(stream, [*fields, ("cookie", "a=1"), ("cookie", "b=2")], end_stream=True)
        connection.sendall(state.data_to_send())
        ended = set()
        while len(ended) < len(streams):
            for event in state.receive_data(connection.recv(1 << 16)):
                if isinstance(event, h2.events.DataReceived):
                    streams[event.stream_id][1].extend(event.data)
                    state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    ended.add(event.stream_id)
                else:
                    assert not isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated), event
            connection.sendall(state.data_to_send())
    for number, body in streams.values():
        said = json.loads(body)
        assert str(number) in said["args"] and said["headers"]["Host"] == "shop.test", said
        assert said["headers"]["Cookie"] == "a=1; b=2"


def test_nginx_in_front_of_us(binary, gateways, site, tmp_path) -> None:
    gateway = gateways(site)
    with Nginx(tmp_path, gateway.public) as nginx:
        assert exchange(nginx.address, b"GET /html HTTP/1.1\r\nHost: shop.test\r\n\r\n").status == 200
        said = json.loads(curl(f"{nginx.url}/anything/a%20b;c?x=1&&y"))
        assert said["url"].endswith("/anything/a%20b;c?x=1&&y"), said
        body = curl("--data-binary", "hello", f"{nginx.url}/more/upload")
        assert body.startswith(b"5 5 "), body
        assert len(curl(f"{nginx.url}/more/download/3")) == 3 << 20


def test_nginx_behind_us(binary, gateways, tmp_path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "page.html").write_text("<p>" + "a page " * 4000)
    (root / "large.bin").write_bytes(bytes(range(256)) * 8000)
    location = f"root {root}; gzip on; gzip_types *; etag on;"
    with Nginx(tmp_path, ("127.0.0.1", 1), location=location) as nginx:
        gateway = gateways(nginx.address)
        paths = tmp_path / "paths"
        paths.write_text("/page.html\n/large.bin\nHEAD /large.bin\n/missing\n/root\n/page.html?x\n")
        for more in (["--paths", paths], []):
            done = run(binary, "verify", "--direct", nginx.url, "--via", gateway.url, *more)
            assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
        with Connection(gateway.public) as connection:
            for fields in (b"Range: bytes=100-199\r\n", b"Accept-Encoding: gzip\r\n", b"If-None-Match: *\r\n"):
                connection.send(b"GET /page.html HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
                assert connection.response().status in (200, 206, 304)


def test_many_clients_at_once_get_their_own_answers(before_site) -> None:
    wrong: list[object] = []

    def ask(number: int) -> None:
        try:
            with httpx.Client(timeout=TIMEOUT_S) as client:
                for turn in range(5):
                    said = client.get(f"{before_site.url}/anything?{number}-{turn}").json()
                    if f"{number}-{turn}" not in said["args"]:
                        wrong.append(said)
        except (httpx.HTTPError, ValueError) as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong
