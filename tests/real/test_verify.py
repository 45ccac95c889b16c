"""`figueira verify`: it finds what a proxy changes, and nothing through figueira."""

from __future__ import annotations

import json
import socket
import subprocess

import lossy_proxy
import pytest
from gateway import START_S
from lossy_proxy import LossyProxy
from nginx import Nginx
from wire import Address

TIMEOUT_S = 240


def verify(binary, direct: str, via: str, *more: str) -> subprocess.CompletedProcess:
    command = [binary, "verify", "--direct", direct, "--via", via, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def url(address: Address) -> str:
    return f"http://{address[0]}:{address[1]}"


def differing(done: subprocess.CompletedProcess) -> dict[str, set[str]]:
    """Which parts differ, by the exchange's name."""
    report = json.loads(done.stdout)
    return {
        one["name"]: {difference["part"] for difference in one["differences"]}
        for one in report["exchanges"]
        if one["differences"]
    }


def test_nobody_can_tell_figueira_from_httpbin(binary, site, before_site) -> None:
    done = verify(binary, url(site), before_site.url, "--unsafe-methods")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all the same" in done.stdout
    assert "Not compared, because the site" in done.stdout, "what varies by itself is said"


def test_nobody_can_tell_figueira_from_the_sample_monolith(binary, gateways) -> None:
    monolith = subprocess.Popen(
        [binary, "demo", "--monolith-only", "127.0.0.1:0"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    try:
        line = monolith.stdout.readline()
        port = int(line.split("127.0.0.1:")[1].split()[0].strip("/,."))
        gateway = gateways(("127.0.0.1", port))
        done = verify(binary, f"http://127.0.0.1:{port}", gateway.url)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        monolith.terminate()
        monolith.wait(START_S)
        monolith.stdout.close()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lossy_proxy.reordered, "fields"),
        (lossy_proxy.added, "fields"),
        (lossy_proxy.lower_case, "fields"),
        (lossy_proxy.reworded, "status line"),
        (lossy_proxy.one_byte, "body"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_a_proxy_changes_is_found(binary, site, change, part, tmp_path) -> None:
    paths = tmp_path / "paths"
    paths.write_text("# a few\n/html\nHEAD /html\n/status/404\n/cookies/set?a=1\n/robots.txt\n")
    proxy = LossyProxy(site, change)
    done = verify(binary, url(site), proxy.url, "--paths", str(paths), "--format", "json")
    proxy.listener.close()
    assert done.returncode == 3, done.stdout + done.stderr
    found = differing(done)
    assert found and all(parts == {part} for parts in found.values()), found
    assert "/html" in found


def test_what_nginx_adds_and_compresses_is_found(binary, site, tmp_path) -> None:
    with Nginx(tmp_path, site, "gzip on; gzip_types *; gzip_min_length 1; add_header X-Via nginx always;") as nginx:
        done = verify(binary, url(site), nginx.url, "--format", "json")
    assert done.returncode == 3, done.stdout + done.stderr
    found = differing(done)
    assert "body" in found["compressed"], found["compressed"]
    assert "fields" in found["a page"]


def test_usage_and_failure_have_their_own_exit_codes(binary, site, before_site, tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = url(listener.getsockname())
    done = verify(binary, url(site), nobody)
    assert done.returncode == 1 and nobody in done.stderr, done.stderr
    assert verify(binary, "ftp://site", before_site.url).returncode == 2
    paths = tmp_path / "paths"
    paths.write_text("/get\nDELETE /delete\n")
    done = verify(binary, url(site), before_site.url, "--paths", str(paths))
    assert done.returncode == 2 and "paths:2: DELETE" in done.stderr, done.stderr
    done = verify(binary, url(site), before_site.url, "--paths", str(paths), "--unsafe-methods")
    assert done.returncode in (0, 3), done.stderr
