"""A real browser: the system's Chromium without a window, used by keyboard and mouse as people use it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axe_core_python.selenium import Axe
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE_S = 30


class Browser(Chrome):
    """With what its network did, and what is wanted of a page."""

    def until(self, condition):
        """Waits until `condition` of the browser holds, and what it then is. A page that changes meanwhile is looked at again."""
        gone = [StaleElementReferenceException]
        return WebDriverWait(self, PATIENCE_S, poll_frequency=0.05, ignored_exceptions=gone).until(condition)

    def find(self, css: str) -> WebElement:
        """The first element that matches and can be seen, as soon as there is one."""
        return self.until(
            lambda browser: next((one for one in browser.find_elements(By.CSS_SELECTOR, css) if one.is_displayed()), None)
        )

    def says(self, text: str) -> bool:
        return text in self.find_element(By.TAG_NAME, "body").text

    def network(self) -> list[dict]:
        """What its network did since it was last asked, as the DevTools protocol names it."""
        return [json.loads(entry["message"])["message"] for entry in self.get_log("performance")]

    def network_at_rest(self) -> list[dict]:
        """The same, once nothing that was asked for is still to come: closed before, it would leave requests unanswered."""
        events = []

        def is_at_rest(browser) -> bool:
            events.extend(browser.network())
            of = lambda *methods: {event["params"]["requestId"] for event in events if event["method"] in methods}
            return of("Network.requestWillBeSent") <= of("Network.loadingFinished", "Network.loadingFailed")

        self.until(is_at_rest)
        return events

    def complaints(self) -> list[str]:
        """What its console holds against pages since it was last asked."""
        return [entry["message"] for entry in self.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def seen_as(self, width: int, scheme: str) -> None:
        """Shows pages so wide, in CSS pixels, to somebody who wants them light or dark."""
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        self.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def barriers(self) -> list[str]:
        """What keeps people out of the page (WCAG 2.1 A and AA), as axe finds it."""
        rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
        found = Axe().run(self, options=rules)["violations"]
        return [f"{one['id']}: {node['html']}: {node['failureSummary']}" for one in found for node in one["nodes"]]


@contextmanager
def chromium(folder: Path, *switches: str) -> Iterator[Browser]:
    """Keeps its profile in `folder`, and asks the outside world for nothing."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium")
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    shared = ["--headless=new", "--window-size=1280,1000", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder / 'profile'}"]
    if os.geteuid() == 0:
        shared.append("--no-sandbox")
    for switch in [*shared, *quiet, *switches]:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = ChromeService(shutil.which("chromedriver"), log_output=str(folder / "chromedriver.log"))
    browser = Browser(options=options, service=service)
    try:
        # Its own first page loads much.
        browser.get("about:blank")
        browser.network()
        yield browser
    finally:
        browser.quit()
