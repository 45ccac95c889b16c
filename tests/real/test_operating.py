"""What an operator does all day: asks whether it is well, changes a line, ends it."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import ExitStack

from gateway import until
from wire import Connection, exchange

PATIENCE_S = 10
GET = b"GET /get HTTP/1.1\r\nHost: shop.example\r\n\r\n"


def test_it_says_that_it_is_well(binary, before_site) -> None:
    assert before_site.ask_admin("/healthz").body == b"ok\n"
    ready = before_site.ask_admin("/readyz")
    assert (ready.status, json.loads(ready.body)["ready"]) == (200, True)
    command = [binary, "health", "--admin", f"127.0.0.1:{before_site.admin[1]}"]
    assert subprocess.run(command, timeout=PATIENCE_S, check=False).returncode == 0


def test_its_metrics_count_what_it_does(before_site) -> None:
    exchange(before_site.public, GET)
    text = before_site.ask_admin("/metrics").body.decode()
    assert text.endswith("# EOF\n")
    assert "process_resident_memory_bytes" in text
    assert "figueira_requests_total" in text


def test_it_explains_where_a_request_goes_and_what_no_route_names(binary, gateways, site) -> None:
    route = """
[[route]]
name = "beta"
path = "/anything/{id}"
headers = { x-beta = { prefix = "v" } }
mode = "canary"
contract = "article"
subject = "cookie:session"
canary.percent = 0
"""
    gateway = gateways(site, route)
    for head in [b"GET /image/png", b"GET /anything/7"]:
        assert exchange(gateway.public, head + b" HTTP/1.1\r\nHost: h\r\nX-Beta: v2\r\n\r\n").status == 200
    assert b'figueira_route_subjectless_total{route="beta"} 1' in gateway.ask_admin("/metrics").body

    question = "/api/routes/explain?method=GET&url=/anything/7&header=x-beta:%20"
    assert json.loads(gateway.ask_admin(question + "v2").body)["route"]["name"] == "beta"
    refused = json.loads(gateway.ask_admin(question + "w").body)
    assert refused["route"] is None
    assert refused["near"][0]["because"] == 'headers.x-beta = { prefix = "v" }, and here it is "w"'

    command = [binary, "routes", "coverage", "--config", gateway.folder / "routes.toml", "--format", "json"]
    command += ["--admin", f"127.0.0.1:{gateway.admin[1]}"]
    coverage = json.loads(subprocess.run(command, timeout=PATIENCE_S, check=True, capture_output=True).stdout)
    assert [(path["path"], path["signs"]) for path in coverage["unnamed"]] == [("/image/png", ["image"])]
    shares = {share["mode"]: share["requests"] for share in coverage["modes"]}
    assert (shares["no route"], shares["canary"]) == (1, 1)


def test_the_admin_surface_is_not_on_the_public_port_nor_open_to_other_names(before_site) -> None:
    for path in ["/metrics", "/readyz", "/healthz"]:
        public = exchange(before_site.public, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert public.status == 404, f"{path} was answered by the gateway and not by the site"
    rebound = exchange(before_site.admin, b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert rebound.status == 421


def test_a_broken_file_keeps_the_last_good_rules(gateways, site) -> None:
    gateway = gateways(site)
    file = gateway.folder / "routes.toml"
    good = file.read_text()

    def rules() -> str:
        return json.loads(gateway.ask_admin("/readyz").body)["rules"]

    file.write_text(good + '\n[[route]]\nname = "x"\nmode = "sideways"\n')
    until(lambda: rules() == "last-good")
    assert gateway.ask_admin("/readyz").status == 200
    assert exchange(gateway.public, GET).status == 200
    file.write_text(good)
    until(lambda: rules() == "current")


def test_a_drain_lets_requests_finish(gateways, site) -> None:
    gateway = gateways(site)
    with ExitStack() as stack:
        idle = stack.enter_context(Connection(gateway.public))
        idle.send(GET)
        assert idle.response().status == 200
        # Ten answers have begun, and the site holds their second halves back until the drain has.
        clients = [stack.enter_context(Connection(gateway.public)) for _ in range(10)]
        for client in clients:
            client.send(b"GET /more/events/drain HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        heads = [client.head() for client in clients]
        gateway.process.send_signal(signal.SIGTERM)
        assert idle.socket.recv(1) == b"", "an idle connection outlived the drain"
        draining = gateway.ask_admin("/readyz")
        assert (draining.status, json.loads(draining.body)["reasons"]) == (503, ["draining"])
        exchange(site, b"GET /more/release/drain HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        for client, head in zip(clients, heads, strict=True):
            client.body(head)
            assert head.body == b"event: first\ndata: 1\n\nevent: second\ndata: 2\n\n"
        assert gateway.process.wait(PATIENCE_S) == 0


def test_check_reports_every_error_with_its_place(binary, tmp_path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text('[monolith]\nurl = "nowhere"\n\n[[route]]\nname = "A B"\npath = "/a"\nmode = "sideways"\n')
    checked = subprocess.run(
        [binary, "check", "--config", file], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert checked.returncode == 1
    said = checked.stdout + checked.stderr
    for place in ["routes.toml:2:", "routes.toml:5:", "routes.toml:7:"]:
        assert place in said, said
