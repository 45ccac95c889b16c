"""What people see of a parallel run, in a real browser: the report in one file, and the operator's pages. In either
scheme, on a desk and on a telephone, by keyboard alone, without a network."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from browser import Browser
from gateway import Gateway, until
from seen import assert_fit, assert_no_colour_alone, assert_usable_by_keyboard, reached
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from two_shops import New, Old, open_shop
from wire import Address, Connection

PATIENCE_S = 30
EASY = "max_failure_rate = 0.5\ncalibration = 2\nmin_subjects = 0\nmin_pairs_per_stratum = 1\nmax_latency_ratio = \"off\""
# By name: the path, keys of its gate, how many requests to learn from and how many after them, and the verdict.
ROUTES = {
    "prices-that-have-an-unusually-long-name": ("/prices", EASY, (2, 10), "UNSAFE"),
    "pictures": ("/pictures", EASY, (2, 3), "BLOCKED"),
    "orders": ("/orders", EASY, (2, 18), "SAFE"),
    "held": ("/held", EASY, (2, 18), "SAFE"),
    "used-up": ("/used-up", "calibration = 1\nmin_subjects = 0\nmax_pairs = 4", (1, 5), "INCONCLUSIVE"),
    "learning": ("/learning", "calibration = 20", (3, 0), "CALIBRATING"),
    "new": ("/new", "calibration = 1", (1, 3), "COLLECTING"),
    "never": ("/never", "", (0, 0), "NONE"),
}


def routes(candidate: Address) -> str:
    text = f'[parallel_run]\nmax_lag = "10m"\nmax_share = "off"\n[upstreams.new]\nurl = "http://{candidate[0]}:{candidate[1]}"\n'
    for name, (path, gate, _, _) in ROUTES.items():
        text += f'[[route]]\nname = "{name}"\npath = "{path}"\nmode = "shadow"\ncandidate = "new"\nsubject = "cookie:session"\n'
        text += f"[route.shadow]\nafter_verdict = 1.0\n[route.gate]\n{gate}\n"
    return text


@dataclass
class Proof:
    """A gateway that has seen traffic enough for every verdict."""

    gateway: Gateway
    binary: Path

    def report(self, *more: object, later: str = "") -> str:
        """What `figueira report` says, now or so much later."""
        command = ["faketime", "-f", later] if later else []
        command += [self.binary, "report", "--config", self.gateway.folder / "routes.toml", *more]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout

    def routes(self) -> list[dict]:
        return json.loads(self.report("--format", "json"))["routes"]

    def sampled(self) -> int:
        return sum(route["counts"]["sampled"] for route in self.routes())

    def verdicts(self) -> dict[str, str]:
        return {route["name"]: route["verdict"] for route in self.routes()}


@pytest.fixture(scope="module")
def proof(binary: Path, gateways) -> Iterator[Proof]:
    with open_shop(Old) as control, open_shop(New) as candidate:
        gateway = gateways(control, routes(candidate))
        proof = Proof(gateway, binary)
        with Connection(gateway.public) as client:
            # What is asked while the control is still being learned would be learned from too.
            for phase in (0, 1):
                for path, _, requests, _ in ROUTES.values():
                    for number in range(requests[phase]):
                        head = f"GET {path} HTTP/1.1\r\nHost: shop.test\r\nCookie: session={phase}-{number}\r\n\r\n"
                        client.send(head.encode())
                        assert client.response().status == 200
                wanted = sum(sum(requests[: phase + 1]) for _, _, requests, _ in ROUTES.values())
                until(lambda: proof.sampled() == wanted)
        command = [binary, "brake", "set", "held", "--config", gateway.folder / "routes.toml", "--reason", "the warehouse counts"]
        subprocess.run(command, check=True, timeout=PATIENCE_S, capture_output=True)
        yield proof


def pages(proof: Proof, browser: Browser) -> list[str]:
    """Every kind of the operator's pages."""
    admin = f"http://127.0.0.1:{proof.gateway.admin[1]}"
    found = [f"{admin}/"]
    for route in ["pictures", "prices-that-have-an-unusually-long-name", "orders", "never"]:
        found += [f"{admin}/routes/{route}", f"{admin}/routes/{route}/pairs"]
        browser.get(found[-2])
        found += [link.get_attribute("href") for link in browser.find_elements(By.CSS_SELECTOR, "a[href^='/comparisons/']")[:1]]
    return found


@pytest.fixture(scope="module")
def files(proof: Proof, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of today, and that of a time when nobody has asked for three weeks."""
    folder = tmp_path_factory.mktemp("reports")
    for name, later in (("today", ""), ("stale", "+21d")):
        proof.report("--format", "html", "--output", folder / f"{name}.html", later=later)
    return {name: folder / f"{name}.html" for name in ("today", "stale")}


def test_every_verdict_is_there_to_be_seen(proof: Proof, files, browser: Browser) -> None:
    assert proof.verdicts() == {name: verdict for name, (_, _, _, verdict) in ROUTES.items()}
    for file, stale in ((files["today"], set()), (files["stale"], {"orders", "held", "learning", "new", "used-up"})):
        browser.get(file.as_uri())
        shown = {row.find_element(By.TAG_NAME, "th").text: row.find_element(By.CSS_SELECTOR, ".verdict").text.split()[-1]
                 for row in browser.find_elements(By.CSS_SELECTOR, ".overview tbody tr")}  # fmt: skip
        assert shown == {name: "STALE" if name in stale else verdict for name, (_, _, _, verdict) in ROUTES.items()}
        assert "held" in browser.find("article#held .facts").text
        assert_fit(browser)


def test_the_file_is_whole_without_a_network(files, browser: Browser) -> None:
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    try:
        browser.network()
        browser.get(files["today"].as_uri())
        asked = [event["params"]["request"]["url"] for event in browser.network() if event["method"] == "Network.requestWillBeSent"]
        assert {url for url in asked if not url.startswith("data:")} == {files["today"].as_uri()}
        images = browser.find_elements(By.TAG_NAME, "img")
        assert images and all(image.get_property("naturalWidth") == 320 for image in images)
        assert browser.execute_script("return document.scripts.length") == 0
    finally:
        online = {"offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
        browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline | online)


def test_the_file_is_for_everybody(files, seen: Browser) -> None:
    seen.get(files["today"].as_uri())
    assert_fit(seen)


def test_the_file_is_read_by_keyboard_and_without_colours(files, browser: Browser) -> None:
    browser.get(files["today"].as_uri())
    assert_usable_by_keyboard(browser)
    assert_no_colour_alone(browser)


def test_the_pages_are_for_everybody(proof: Proof, seen: Browser) -> None:
    for page in pages(proof, seen):
        seen.get(page)
        assert_fit(seen)


def test_the_pages_are_used_by_keyboard(proof: Proof, browser: Browser) -> None:
    for page in pages(proof, browser):
        browser.get(page)
        assert_usable_by_keyboard(browser)


def test_an_alarm_is_acknowledged_by_keyboard(proof: Proof, browser: Browser) -> None:
    browser.get(f"http://127.0.0.1:{proof.gateway.admin[1]}/routes/pictures")
    open_alarms = len(browser.find_elements(By.CSS_SELECTOR, ".alarms form"))
    assert open_alarms == ROUTES["pictures"][2][1]
    field = next(one for one in reached(browser) if one.get_attribute("name") == "reason")
    field.send_keys("a field of grass: it is meant to be green", Keys.ENTER)
    browser.until(lambda browser: len(browser.find_elements(By.CSS_SELECTOR, ".alarms form")) == open_alarms - 1)
    summary = browser.find(".alarms summary")
    assert summary.text == "1 acknowledged"
    summary.send_keys(Keys.ENTER)
    assert browser.says("a field of grass: it is meant to be green")
