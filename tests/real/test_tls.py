"""TLS with clients, as openssl and curl see it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path

import pytest
from authority import Authority
from gateway import Gateway, until
from wire import exchange

PATIENCE_S = 30


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    authority.issue("shop.test", "shop")
    authority.issue("other.test", "other")
    return authority


@pytest.fixture(scope="module")
def gateway(gateways, site, authority) -> Gateway:
    return gateways(site, keys=authority.keys("shop", "other"))


def s_client(gateway: Gateway, *arguments: object, said: bytes = b"") -> tuple[int, str]:
    """The exit code of `openssl s_client`, and what it says of the session."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.public[1]}", *map(str, arguments)]
    done = subprocess.run(command, input=said, capture_output=True, timeout=PATIENCE_S, check=False)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def verified(authority: Authority, name: str) -> list[object]:
    return ["-CAfile", authority.pem, "-verify_return_error", "-verify_hostname", name, "-servername", name]


def serial(gateway: Gateway, name: str) -> str:
    _, said = s_client(gateway, "-servername", name)
    pem = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", said, re.DOTALL)
    assert pem, said
    command = ["openssl", "x509", "-noout", "-serial"]
    return subprocess.run(command, input=pem[0], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_versions_that_are_spoken(gateway, authority, version) -> None:
    code, said = s_client(gateway, version, *verified(authority, "shop.test"))
    assert code == 0, said
    assert {"-tls1_2": "TLSv1.2", "-tls1_3": "TLSv1.3"}[version] in said
    assert "Verify return code: 0 (ok)" in said or "Verification: OK" in said
    assert "Compression: NONE" in said


@pytest.mark.parametrize(
    "weak",
    [
        ["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
        ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"],
        ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"],
        ["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
        ["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"],
        ["-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"],
        ["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"],
    ],
)
def test_what_is_weak_is_not_spoken(gateway, weak) -> None:
    code, said = s_client(gateway, *weak)
    assert code != 0 or "Cipher is (NONE)" in said or "Cipher    : 0000" in said, said
    assert "BEGIN CERTIFICATE" not in said, said


def test_a_client_cannot_renegotiate(gateway) -> None:
    _, said = s_client(gateway, "-tls1_2", "-servername", "shop.test", said=b"R\n")
    assert "no renegotiation" in said.lower() or "handshake failure" in said.lower() or "alert" in said.lower(), said


def test_the_certificate_is_chosen_by_name(gateway, authority) -> None:
    for name in ["shop.test", "other.test"]:
        code, said = s_client(gateway, *verified(authority, name))
        assert code == 0 and f"CN = {name}" in said, said
    # Whoever names no site, or another one, is shown the first.
    for unnamed in [["-noservername"], ["-servername", "nobody.test"]]:
        assert "CN = shop.test" in s_client(gateway, *unnamed)[1]


def test_the_protocol_is_agreed_on(gateway) -> None:
    for offered, agreed in [("h2,http/1.1", "h2"), ("http/1.1,h2", "h2"), ("http/1.1", "http/1.1")]:
        assert f"ALPN protocol: {agreed}" in s_client(gateway, "-alpn", offered)[1]
    code, said = s_client(gateway, "-alpn", "spdy/3")
    assert code != 0 and "no application protocol" in said


def test_sessions_are_resumed(gateway, tmp_path) -> None:
    session = tmp_path / "session"
    request = b"GET /get HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"
    for version in ["-tls1_2", "-tls1_3"]:
        s_client(gateway, version, "-sess_out", session, "-ign_eof", said=request)
        assert "Reused, " in s_client(gateway, version, "-sess_in", session)[1], version


@pytest.mark.parametrize(
    ("arguments", "version"),
    [
        (["--http2"], "2"),
        (["--http1.1"], "1.1"),
        (["--http2", "--tls-max", "1.2"], "2"),
        (["--http1.1", "--tls-max", "1.2"], "1.1"),
    ],
)
def test_curl_is_served(gateway, authority, arguments, version) -> None:
    port = gateway.public[1]
    command = ["curl", "-sS", "--cacert", authority.pem, "--resolve", f"shop.test:{port}:127.0.0.1", *arguments]
    command += ["-w", "\n%{http_version} %{ssl_verify_result}", f"https://shop.test:{port}/headers?show_env=1"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout
    body, told = said.rsplit("\n", 1)
    assert told == f"{version} 0"
    assert json.loads(body)["headers"]["X-Forwarded-Proto"] == "https"


def test_a_request_may_come_with_the_handshake(gateway, authority) -> None:
    """openssl writes what it is told on its standard input right behind its last flight; all arrives at once."""
    request = b"GET /get HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as relay:
        place = f"127.0.0.1:{relay.getsockname()[1]}"
        command = ["openssl", "s_client", "-quiet", "-connect", place, "-tls1_3", "-ign_eof"]
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        near, _ = relay.accept()
        near.settimeout(PATIENCE_S)
        with near, socket.create_connection(gateway.public, timeout=PATIENCE_S) as far:
            far.sendall(near.recv(1 << 16))
            near.sendall(far.recv(1 << 16))
            # The last flight of TLS 1.3 ends with Finished; it is held back until the request has come too.
            flight = near.recv(1 << 16)
            client.stdin.write(request)
            client.stdin.flush()
            far.sendall(flight + near.recv(1 << 16))
            # Whatever comes now: tickets, the answer, the end.
            while piece := far.recv(1 << 16):
                near.sendall(piece)
        answer = client.stdout.read()
        client.wait(PATIENCE_S)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_plain_http_is_told_so(gateway) -> None:
    answer = exchange(gateway.public, b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    assert answer.status == 400 and b"https://" in answer.body


def test_noise_is_no_handshake(gateway) -> None:
    for noise in [b"\x16\x03\x01\x00\x02\x01\x00", b"\x80\x2e\x01\x00\x02", b"\x00" * 64]:
        with socket.create_connection(gateway.public, timeout=PATIENCE_S) as client:
            client.sendall(noise)
            client.shutdown(socket.SHUT_WR)
            while client.recv(1024):
                pass
    assert s_client(gateway, "-servername", "shop.test")[0] == 0


def test_certificates_are_read_again(gateways, site, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("shop.test", "shop")
    gateway = gateways(site, keys=authority.keys("shop"))
    before = serial(gateway, "shop.test")
    authority.issue("shop.test", "shop")
    until(lambda: serial(gateway, "shop.test") != before)
    assert s_client(gateway, *verified(authority, "shop.test"))[0] == 0

    # A broken one changes nothing, but is told of.
    renewed = serial(gateway, "shop.test")
    good = (tmp_path / "shop.pem").read_text()
    (tmp_path / "shop.pem").write_text("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")
    until(lambda: json.loads(gateway.ask_admin("/readyz").body)["certificates"] == "last-good")
    assert serial(gateway, "shop.test") == renewed
    (tmp_path / "shop.pem").write_text(good)
    until(lambda: json.loads(gateway.ask_admin("/readyz").body)["certificates"] == "current")
