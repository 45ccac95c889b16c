"""Editors at work in a real browser, through TLS and HTTP/2: a Wagtail site, in which they sign in, write, and put up a
picture, and cannot tell that a gateway is there."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from authority import Authority
from browser import Browser, chromium
from gateway import START_S, until
from PIL import Image, ImageDraw
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from wire import Address, exchange

HERE = Path(__file__).parent
HOST = "gallery.test"
# What the gateway counts of exchanges that did not go as they should.
FAILURES = ("figueira_failures_total", 'figueira_requests_total{answered_by="gateway"')


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Wagtail under gunicorn."""
    folder = tmp_path_factory.mktemp("gallery")
    environment = os.environ | {"GALLERY": str(folder), "DJANGO_SETTINGS_MODULE": "gallery.settings"}
    subprocess.run([sys.executable, "-m", "gallery"], cwd=HERE, env=environment, check=True)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    listener.set_inheritable(True)
    log = folder / "log"
    command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "--worker-class", "gthread"]
    command += ["--threads", "16", "--keep-alive", "75", "--chdir", HERE, "django.core.wsgi:get_wsgi_application()"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=[listener.fileno()], env=environment
        )
    place = listener.getsockname()
    try:
        answer = exchange(place, f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        assert answer.status == 200 and b"Nothing yet." in answer.body, log.read_text()
        yield place
    finally:
        process.terminate()
        process.wait(START_S)
        listener.close()


def key_of(certificate: Path) -> str:
    """The hash by which Chromium can be told to trust this certificate's key, and no other."""
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], capture_output=True, check=True)
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key.stdout, capture_output=True, check=True)
    return base64.b64encode(hashlib.sha256(der.stdout).digest()).decode()


def picture(folder: Path) -> Path:
    """A fig, as PNG: too large for any buffer on its way."""
    image = Image.effect_noise((640, 480), 60).convert("RGB")
    ImageDraw.Draw(image).ellipse((190, 90, 450, 420), fill=(96, 48, 112))
    image.save(folder / "fig.png")
    return folder / "fig.png"


def sign_in(browser: Browser) -> None:
    browser.find("input[name=username]").send_keys("ana")
    browser.find("input[name=password]").send_keys("a fig tree", Keys.ENTER)
    browser.until(lambda browser: browser.title.startswith("Dashboard"))


def write_instead(field: WebElement, text: str) -> None:
    field.click()
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(text)


def put_up(browser: Browser, file: Path) -> None:
    browser.find("[data-chooser-action-choose]").click()
    browser.find("#tab-label-upload").click()
    browser.find("#tab-upload input[type=file]").send_keys(str(file))
    # Its title is the file's name, once the page's script has seen it.
    title = browser.find("#tab-upload [name$=title]")
    browser.until(lambda browser: title.get_property("value") == file.stem)
    browser.find("#tab-upload [type=submit]").click()
    browser.until(lambda browser: not browser.find_elements(By.CSS_SELECTOR, ".modal-content"))


def publish(browser: Browser) -> None:
    browser.find("footer .w-dropdown__toggle").click()
    browser.find("[name=action-publish]").click()
    browser.until(lambda browser: browser.says("has been published") or browser.says("published"))


def test_editors_work_as_if_nothing_stood_between(gallery: Address, gateways, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue(HOST, "gallery")
    gateway = gateways(gallery, keys=authority.keys("gallery"))
    site = f"https://{HOST}:{gateway.public[1]}"
    trusted = f"--ignore-certificate-errors-spki-list={key_of(tmp_path / 'gallery.pem')}"
    with chromium(tmp_path, f"--host-resolver-rules=MAP {HOST} 127.0.0.1", trusted) as browser:
        browser.get(f"{site}/admin/")
        sign_in(browser)
        browser.get(f"{site}/admin/pages/2/edit/")
        write_instead(browser.find("[name=title]"), "Figs, and where they grow")
        write_instead(browser.find(".public-DraftEditor-content"), "A fig tree strangles its host \u2013 slowly.")
        put_up(browser, picture(tmp_path))
        publish(browser)

        # What everybody sees now.
        browser.get(f"{site}/")
        assert browser.find("h1").text == "Figs, and where they grow"
        assert browser.says("A fig tree strangles its host \u2013 slowly.")
        image = browser.find("img")
        browser.until(lambda browser: image.get_property("complete"))
        assert (image.get_property("naturalWidth"), image.get_property("naturalHeight")) == (300, 225)
        assert browser.complaints() == []
        network = browser.network_at_rest()

    answers = [event["params"]["response"] for event in network if event["method"] == "Network.responseReceived"]
    assert not [event for event in network if event["method"] == "Network.loadingFailed"]
    assert len(answers) > 30, "with stylesheets and scripts"
    assert {(answer["protocol"], urlsplit(answer["url"]).netloc) for answer in answers} == {("h2", urlsplit(site).netloc)}
    assert {answer["status"] for answer in answers} <= {200, 304}

    counts = dict(line.rsplit(" ", 1) for line in gateway.ask_admin("/metrics").body.decode().splitlines() if line[0] != "#")
    assert not {name: count for name, count in counts.items() if name.startswith(FAILURES) and float(count) > 0}
    requests = int(counts['figueira_protocol_requests_total{protocol="HTTP/2.0"}'])

    def lines() -> list[dict]:
        return [event for event in gateway.log() if event["module"] == "figueira::access"]

    until(lambda: len(lines()) == requests)
    amiss = [line for line in lines() if line["message"] != "request" or line.get("status", 999) >= 400 or "error" in line]
    assert not amiss, "\n".join(map(str, amiss))
