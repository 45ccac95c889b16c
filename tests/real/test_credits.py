"""The sample monolith keeps credits: it is asked before the gateway draws and told afterwards. What it refuses costs
nothing, what is done takes exactly one credit, also when the gateway dies in between."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import gateway
import pytest
from customers import Customer, demo
from gateway import Gateway, until
from wire import Address

SECRET = "notify-canary-0815"
ROUTES = """
[[generator.serve]]
path = "/img/{name}"

[[route]]
name = "generate-image"
methods = ["POST"]
path = "/api/images"
mode = "migrated"
contract = "article"
subject = "cookie:session"

[route.authorize]
url = "/internal/may-generate"
copy = ["x-user-id", "x-hold"]
tenant = "x-user-id"

[route.notify]
url = "/internal/image-created"
wait = "%s"
secret = { env = "FIGUEIRA_NOTIFY_SECRET" }
"""


@pytest.fixture(scope="module", autouse=True)
def secret() -> Iterator[None]:
    os.environ["FIGUEIRA_NOTIFY_SECRET"] = SECRET
    yield
    del os.environ["FIGUEIRA_NOTIFY_SECRET"]


@pytest.fixture(scope="module")
def shop(binary: Path) -> Iterator[Address]:
    with demo(binary, "--monolith-only") as shop:
        yield shop


@pytest.fixture(scope="module")
def before_shop(gateways, shop: Address) -> Gateway:
    return gateways(shop, ROUTES % "5s")


def test_a_generation_takes_its_credits_and_the_next_page_shows_it(before_shop: Gateway, shop: Address) -> None:
    ana = Customer(shop, "ana")
    before = ana.balance()
    status, answer = ana.order(before_shop.url, n=2)
    assert (status, answer["processamento"]) == (200, 200)
    after = ana.balance()
    assert (before["credits"] - after["credits"], after["held"]) == (2, 0)
    assert after["pictures"] == answer["imagens"]
    with urllib.request.urlopen(f"{before_shop.url}/img/{answer['imagem']}", timeout=30) as response:
        assert response.read(8) == b"\x89PNG\r\n\x1a\n"


def test_what_the_monolith_refuses_costs_nothing(before_shop: Gateway, shop: Address) -> None:
    guest = Customer(shop, "guest")
    status, answer = guest.order(before_shop.url)
    assert (status, answer) == (402, {"processamento": 402, "msg": "you have no credits left"})
    stranger = Customer(shop, "eva")
    stranger.cookie = "session=nobody"
    assert stranger.order(before_shop.url)[0] == 403
    assert guest.order(before_shop.url, **{"sec-fetch-site": "cross-site"})[0] == 403


def test_the_paths_in_between_are_closed(before_shop: Gateway) -> None:
    for path in ["/internal/may-generate", "/internal/image-created", "//internal/%69mage-created"]:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(before_shop.url + path, b"{}"), timeout=30)
        assert refused.value.code == 404


def test_a_gateway_that_dies_takes_one_credit_and_no_more(binary: Path, shop: Address, tmp_path: Path) -> None:
    """The monolith is reached through a door that shuts: the job is done, the notice is not delivered, the gateway is
    killed. The next one delivers it, once."""
    bia = Customer(shop, "bia")
    before = bia.balance()["credits"]
    # Nobody takes the notice at this path, so that it waits in the outbox.
    routes = (ROUTES % "off").replace("/internal/image-created", "/internal/nobody-here")
    first = gateway.start(binary, tmp_path, shop, routes)
    status, _ = bia.order(first.url, key="k1")
    assert status == 200
    first.process.kill()
    first.process.wait(30)
    assert bia.balance()["credits"] == before and bia.balance()["held"] == 1

    import sqlite3

    with sqlite3.connect(tmp_path / "figueira-data" / "catalog.sqlite") as catalog:
        catalog.execute("UPDATE jobs SET notify = replace(notify, '/internal/nobody-here', '/internal/image-created'), news_due_ms = 0")
    second = gateway.start(binary, tmp_path, shop, ROUTES % "5s")
    try:
        until(lambda: bia.balance()["credits"] == before - 1)
        assert bia.balance()["held"] == 0
        assert SECRET not in (tmp_path / "log.jsonl").read_text()
    finally:
        assert second.end() == 0
    assert bia.balance()["credits"] == before - 1


def test_a_janitor_draws_what_was_promised_and_tells_what_became_of_it(binary: Path, shop: Address, tmp_path: Path) -> None:
    """One generation is under way and one waits for its place when the gateway is killed. Nobody starts another: the
    janitor is called, and ends by itself."""
    rui = Customer(shop, "rui")
    before = rui.balance()["credits"]
    with demo(binary, "--provider-only") as provider:
        api = f"http://{provider[0]}:{provider[1]}"
        # The second one takes longer than the janitor would stay otherwise.
        behaviours = json.dumps(["hang", "slow:4000"]).encode()
        urllib.request.urlopen(f"{api}/stand-in/next", behaviours, timeout=30).close()

        def ledger() -> dict:
            with urllib.request.urlopen(f"{api}/stand-in/ledger", timeout=30) as response:
                return json.load(response)

        generator = f"""
[generator]
provider = "openai"
max_in_flight = 1
lease = "1s"

[generator.openai]
base_url = "{api}/v1"
api_key = {{ file = "key" }}
"""
        (tmp_path / "key").write_text("any")
        first = gateway.start(binary, tmp_path, shop, generator + ROUTES % "off")
        assert rui.order(first.url, prefer="respond-async")[0] == 202
        until(lambda: len(ledger()["charged"]) == 1)
        assert rui.order(first.url, prefer="respond-async")[0] == 202
        first.process.kill()
        first.process.wait(30)
        assert rui.balance()["held"] == 2

        command = [binary, "janitor", "--config", tmp_path / "routes.toml"]
        subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)
        assert (ledger()["requests"], len(ledger()["charged"])) == (2, 2)
    after = rui.balance()
    assert (before - after["credits"], after["held"], len(after["pictures"])) == (1, 0, 1)
    again = subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL, capture_output=True)
    assert again.stdout == b"" and rui.balance() == after
