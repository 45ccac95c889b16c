"""A function behind a gateway, for the users of a site that keeps credits: the gateway asks the site, the function tells
it, and what neither draws costs nothing."""

from __future__ import annotations

import base64
import json
import os
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from customers import Customer, demo
from functions import (  # noqa: F401
    AWS,
    BEFORE,
    RULES,
    SECRET,
    Function,
    aws,
    by_http,
    control_plane,
    functions,
    signed,
    site,
)
from gateway import Gateway, until
from wire import Address

ORDER = json.dumps({"prompt": "a fig tree", "n": 1, "size": "256x256"}).encode()
# The users' route is where the shop has its own.
FOR_USERS = RULES.replace('"/api/images"', '"/api/open"').replace('"/api/mine"', '"/api/images"')
GATEWAY = BEFORE + """
[[route]]
name = "for-users"
methods = ["POST"]
path = "/api/images"
mode = "{mode}"
candidate = "images"
contract = "article"
subject = "cookie:session"

[route.gate]
calibration = 0

[route.authorize]
url = "/internal/may-generate"
copy = ["x-user-id", "x-hold"]
tenant = "x-user-id"

[route.notify]
url = "/internal/image-created"
secret = {{ env = "FIGUEIRA_NOTIFY_SECRET" }}
"""


@pytest.fixture(scope="module")
def shop(binary: Path) -> Iterator[Address]:
    with demo(binary, "--monolith-only", os.environ | {"FIGUEIRA_NOTIFY_SECRET": SECRET}) as place:
        yield place


@pytest.fixture(scope="module")
def function(functions, shop: Address) -> Function:
    return functions(monolith=f"http://{shop[0]}:{shop[1]}", rules=FOR_USERS)


@pytest.fixture(scope="module")
def function_url(function: Function) -> Iterator[str]:
    """A function's URL as AWS has it: who has signed is known to the function."""

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            target = urllib.parse.urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            fields = {name.lower(): value for name, value in self.headers.items()}
            event = by_http(self.command, target.path, body, **fields)
            event["rawQueryString"] = target.query
            event["cookies"] = event["headers"].pop("cookie", "").split("; ")
            if fields.get("authorization", "").startswith("AWS4-HMAC-SHA256 "):
                event = signed(event)
            answer = function.invoke(event)
            said = answer.get("body") or ""
            said = base64.b64decode(said) if answer.get("isBase64Encoded") else said.encode()
            self.send_response(answer["statusCode"])
            for name, value in answer["headers"].items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_POST = do_GET

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def before(gateways, shop: Address, function_url: str, aws: str):
    def start(mode: str) -> Gateway:
        rules = GATEWAY.format(aws=aws, url=function_url, mode=mode)
        return gateways(shop, rules, environment=AWS | {"FIGUEIRA_NOTIFY_SECRET": SECRET})

    return start


@pytest.fixture(scope="module")
def migrated(before) -> Gateway:
    return before("migrated")


def asked(function: Function) -> list[dict]:
    """What the function has answered of its users' route."""
    return [event for event in function.log() if event["message"] == "request" and event.get("route") == "for-users"]


def test_a_generation_takes_its_credits_and_a_second_try_none(migrated: Gateway, shop: Address) -> None:
    ana = Customer(shop, "ana")
    before = ana.balance()["credits"]
    status, answer = ana.order(migrated.url, key="k1", n=2)
    assert (status, len(answer["imagens"])) == (200, 2), answer
    after = ana.balance()
    assert (before - after["credits"], after["held"], after["pictures"]) == (2, 0, answer["imagens"])
    assert ana.order(migrated.url, key="k1", n=2) == (200, answer)
    assert ana.balance() == after


def test_who_has_no_credits_is_refused_before_the_function_is_asked(
    migrated: Gateway, shop: Address, function: Function
) -> None:
    before = len(asked(function))
    assert Customer(shop, "guest").order(migrated.url)[0] == 402
    stranger = Customer(shop, "eva")
    stranger.cookie = "session=nobody"
    assert stranger.order(migrated.url)[0] == 403
    assert len(asked(function)) == before


def test_who_does_not_wait_asks_the_gateway_for_what_a_function_draws(migrated: Gateway, shop: Address) -> None:
    bia, eva = Customer(shop, "bia"), Customer(shop, "eva")
    before = bia.balance()["credits"]
    fields = {"content-type": "application/json", "prefer": "respond-async"}
    status, head, _ = bia.ask(f"{migrated.url}/api/images", ORDER, **fields)
    assert status == 202, head
    place = migrated.url + head["location"]
    until(lambda: bia.ask(place)[0] != 202)
    status, _, answer = bia.ask(place)
    assert (status, answer["imagem"].startswith("fg-")) == (200, True)
    assert eva.ask(place)[0] == 404
    eva.cookie = "session=nobody"
    assert eva.ask(place)[0] == 403
    until(lambda: bia.balance()["held"] == 0)
    assert bia.balance()["credits"] == before - 1


def test_a_function_is_judged_without_the_site_being_asked_for_it(before, shop: Address, function: Function) -> None:
    rui = Customer(shop, "rui")
    credits, seen = rui.balance()["credits"], len(asked(function))
    status, _ = rui.order(before("shadow").url)
    assert status == 200
    until(lambda: len(asked(function)) > seen)
    [shadow] = asked(function)[seen:]
    assert shadow["status"] == 200
    balance = rui.balance()
    assert (credits - balance["credits"], balance["held"]) == (1, 0), "the shop's own picture, and nothing else"
