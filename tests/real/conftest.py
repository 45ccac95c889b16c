"""Starts the real things: a site under gunicorn, a raw origin, the gateway before either. Everything on loopback, and
on ports that the system chose: who listens says where."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gateway
import pytest
import servers
from browser import Browser, chromium
from gateway import START_S, Gateway
from raw_origin import RawOrigin
from wire import Address, exchange

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def binary() -> Path:
    named = os.environ.get("FIGUEIRA_BIN")
    assert named, "FIGUEIRA_BIN must name the figueira binary: tests/run does"
    path = Path(named)
    assert path.is_file(), f"there is no {path}"
    return path


@pytest.fixture(scope="session")
def gateways(binary: Path, tmp_path_factory: pytest.TempPathFactory):
    """Starts gateways, and sees to it that each ends well: with 0, and without a panic."""
    started: list[Gateway] = []

    def start(
        monolith: Address, routes: str = "", keys: str = "", environment: dict[str, str] | None = None
    ) -> Gateway:
        folder = tmp_path_factory.mktemp("gateway")
        started.append(gateway.start(binary, folder, monolith, routes, keys, environment))
        return started[-1]

    yield start
    for one in started:
        code = one.end() if one.process.poll() is None else one.process.returncode
        assert code == 0, f"exit code {code}; {one.folder} holds its log"
        assert not [event for event in one.log() if event["message"] == "panic"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory):
    """httpbin and more, under gunicorn, on a socket that was bound here: no port is guessed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    listener.set_inheritable(True)
    log = tmp_path_factory.mktemp("site") / "log"
    command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "--worker-class", "gthread"]
    command += ["--threads", "16", "--keep-alive", "75", "--chdir", HERE, "origin:app"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=[listener.fileno()]
        )
    place = listener.getsockname()
    try:
        # The socket accepts from the start, so this waits for gunicorn and no longer.
        answer = exchange(place, b"GET /get HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.status == 200, log.read_text()
        yield place
    finally:
        process.terminate()
        process.wait(START_S)
        listener.close()


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory):
    """DynamoDB, at this URL."""
    server, url = servers.start_moto(tmp_path_factory.mktemp("moto"))
    yield url
    server.terminate()
    server.wait()


@pytest.fixture(scope="session")
def radosgw(tmp_path_factory: pytest.TempPathFactory):
    """S3, at this URL, with a bucket."""
    yield from servers.run_radosgw(tmp_path_factory.mktemp("ceph"))


@pytest.fixture
def raw_origin():
    origin = RawOrigin()
    yield origin
    origin.listener.close()


@pytest.fixture(scope="session")
def before_site(gateways, site) -> Gateway:
    """A gateway that forwards everything to the site."""
    return gateways(site)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], ids=str)
def seen(request: pytest.FixtureRequest, browser: Browser) -> Browser:
    """The browser as somebody sees it: how wide, and in which scheme."""
    browser.seen_as(*request.param)
    return browser
