"""The sample monolith and the stand-in for a provider, and those who are signed in at the one."""

from __future__ import annotations

import http.cookiejar
import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway import address
from wire import Address


@contextmanager
def demo(binary: Path, part: str, environment: dict[str, str] | None = None) -> Iterator[Address]:
    """A part of the demonstration by itself, and where it is."""
    command = [binary, "demo", part, "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield address(process.stdout.readline())
    finally:
        process.terminate()
        assert process.wait(30) == 0


class Customer:
    """Somebody who is signed in at the shop, and reaches it through a gateway."""

    def __init__(self, shop: Address, name: str) -> None:
        self.shop = f"http://{shop[0]}:{shop[1]}"
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.opener.open(f"{self.shop}/login", urllib.parse.urlencode({"name": name, "password": "p"}).encode(), 30).close()
        self.cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.jar)

    def balance(self) -> dict:
        with self.opener.open(f"{self.shop}/api/credits", timeout=30) as response:
            return json.load(response)

    def order(self, url: str, key: str | None = None, n: int = 1, **headers: str) -> tuple[int, dict]:
        body = json.dumps({"prompt": "a fig tree", "n": n, "size": "256x256"}).encode()
        fields = {"content-type": "application/json", **headers}
        if key:
            fields["idempotency-key"] = key
        status, _, answer = self.ask(f"{url}/api/images", body, **fields)
        return status, answer

    def ask(self, url: str, body: bytes | None = None, **headers: str) -> tuple[int, dict, dict]:
        """Status, head and JSON of what is said there to this customer."""
        fields = {"cookie": self.cookie, **headers}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, fields), timeout=60) as response:
                return response.status, dict(response.headers), json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), json.load(error)
