"""Gateways that have nothing in common but a table of DynamoDB: what one of them holds back, all do, and
what each of them has counted, all have."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import boto3
import pytest
from gateway import Gateway, until
from servers import BUCKET, CREDENTIALS, KEYS, free_port, start_moto
from wire import exchange

RULES = """
[aws]
dynamodb_endpoint_url = "{url}"

[generator.catalog]
kind = "dynamodb"
table = "brakes"

[upstreams.other]
url = "http://{site[0]}:{site[1]}"

[[route]]
name = "everything"
path = "/{{*rest}}"
mode = "migrated"
candidate = "other"
"""


def figueira(binary: Path, gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess:
    command = [binary, *arguments, "--config", gateway.folder / "routes.toml"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | CREDENTIALS)


def mode(gateway: Gateway) -> str:
    [route] = json.loads(gateway.ask_admin("/api/routes").body)["routes"]
    return route["effective_mode"]


def known(gateway: Gateway) -> str:
    return json.loads(gateway.ask_admin("/readyz").body)["brakes"]


@pytest.fixture
def table(tmp_path):
    """A server of its own, which may be stopped."""
    server, url = start_moto(tmp_path)
    yield server, url
    server.send_signal(signal.SIGCONT)
    server.terminate()
    server.wait()


def test_a_brake_holds_in_the_whole_fleet(binary, gateways, site, table) -> None:
    server, url = table
    rules = RULES.format(url=url, site=site)
    here = gateways(site, rules, environment=CREDENTIALS)
    assert known(here) == "unknown" and mode(here) == "monolith", "there is no table yet"
    assert figueira(binary, here, "catalog", "create").returncode == 0
    there = gateways(site, rules, environment=CREDENTIALS)
    until(lambda: (known(here), mode(here), known(there), mode(there)) == ("current", "migrated") * 2)

    held = figueira(binary, here, "brake", "set", "--all", "--reason", "blank images")
    assert held.returncode == 0, held.stderr
    until(lambda: (mode(here), mode(there)) == ("monolith", "monolith"))
    assert "held at monolith" in figueira(binary, there, "brake", "list").stdout
    release = b'{"reason":"mended"}'
    head = f"DELETE /api/brakes/everything HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(release)}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"
    assert exchange(there.admin, head.encode() + release).status == 200
    assert mode(there) == "migrated"
    until(lambda: mode(here) == "migrated")

    # A table that hangs: what is known holds, a pull holds here, and in the fleet as soon as it hears of it.
    server.send_signal(signal.SIGSTOP)
    until(lambda: (known(here), known(there)) == ("last-known", "last-known"))
    assert (mode(here), mode(there)) == ("migrated", "migrated")
    alone = figueira(binary, here, "brake", "set", "everything", "--at", "shadow", "--reason", "odd")
    assert alone.returncode == 1 and "by the gateways of this data folder" in alone.stdout, alone.stdout
    until(lambda: mode(here) == "shadow")
    assert mode(there) == "migrated"
    refused = figueira(binary, here, "brake", "release", "everything", "--reason", "mended")
    assert refused.returncode == 1 and "cannot be asked" in refused.stderr, refused.stderr
    server.send_signal(signal.SIGCONT)
    until(lambda: (known(there), mode(there)) == ("current", "shadow"))
    until(lambda: known(here) == "current")
    assert figueira(binary, there, "brake", "release", "everything", "--reason", "mended").returncode == 0
    until(lambda: (mode(here), mode(there)) == ("migrated", "migrated"))


def test_who_never_heard_of_the_brakes_leaves_everything_to_the_monolith(gateways, site) -> None:
    rules = RULES.format(url=f"http://127.0.0.1:{free_port()}", site=site)
    alone = gateways(site, rules, environment=CREDENTIALS)
    assert (known(alone), mode(alone)) == ("unknown", "monolith")
    answer = exchange(alone.public, b"GET /json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.status == 200


EVIDENCE = """
[aws]
dynamodb_endpoint_url = "{url}"
s3_endpoint_url = "{s3}"
force_path_style = true

[generator.catalog]
kind = "dynamodb"
table = "evidence"

[parallel_run]
max_lag = "10m"
max_share = "off"
export = "s3://{bucket}/lake"

[upstreams.other]
url = "http://{site[0]}:{site[1]}"

[[route]]
name = "everything"
path = "/{{*rest}}"
mode = "shadow"
candidate = "other"
subject = "cookie:session"

[route.compare]
headers = ["content-type"]

[route.gate]
calibration = 0
min_subjects = 5
max_latency_ratio = "off"
"""


def ask(gateway: Gateway, target: str, person: str) -> None:
    head = f"GET {target} HTTP/1.1\r\nHost: x\r\nCookie: session={person}\r\nConnection: close\r\n\r\n"
    assert exchange(gateway.public, head.encode()).status == 200


def told(gateway: Gateway) -> dict:
    """What a gateway reports of its one route, but for what is its own: live figures, differences, hours."""
    [route] = json.loads(gateway.ask_admin("/api/reports").body)["routes"]
    names = ("pairs", "failures", "verdict", "log10_e_safe", "log10_e_unsafe", "upper_bound", "counts", "gates", "strata")
    return {name: route[name] for name in names} | {"gateways": sorted(route["gateways"])}


def shown(gateway: Gateway) -> list[list[dict]]:
    """The examples of each difference."""
    [route] = json.loads(gateway.ask_admin("/api/reports").body)["routes"]
    return [difference["examples"] for difference in route["differences"]]


def held(gateway: Gateway) -> list[dict]:
    return json.loads(gateway.ask_admin("/api/brakes").body)["brakes"]


def test_the_evidence_of_a_fleet_is_one(binary, gateways, site, table, radosgw, tmp_path) -> None:
    rules = EVIDENCE.format(url=table[1], s3=radosgw, bucket=BUCKET, site=site)
    (tmp_path / "routes.toml").write_text(f'[monolith]\nurl = "http://{site[0]}:{site[1]}"\n{rules}')
    create = [binary, "catalog", "create", "--config", tmp_path / "routes.toml"]
    subprocess.run(create, check=True, timeout=60, env=os.environ | CREDENTIALS)
    one = gateways(site, rules, environment=CREDENTIALS)
    two = gateways(site, rules, environment=CREDENTIALS)

    for n in range(12):
        ask(one, "/json", f"one-{n}")
        ask(two, "/json", f"two-{n}")
    # She meets both, and is one person.
    ask(one, "/json", "maria")
    ask(two, "/json", "maria")
    until(lambda: told(one)["counts"]["sampled"] == told(two)["counts"]["sampled"] == 26)
    whole = told(one)
    assert told(two) == whole
    assert (whole["pairs"], whole["failures"], whole["counts"]["duplicate_subject"]) == (25, 0, 1)
    assert whole["counts"]["subjects"] == 25 and len(whole["gateways"]) == 2

    # Neither has seen enough by itself: together they prove it.
    for n in range(2):
        ask(one, "/uuid", f"one-uuid-{n}")
        ask(two, "/uuid", f"two-uuid-{n}")
    until(lambda: [brake["by"] for brake in held(one) + held(two)] == ["the verdict", "the verdict"])
    until(lambda: told(one) == told(two) and told(one)["failures"] == 4)
    assert told(one)["verdict"] == "UNSAFE"
    gate = figueira(binary, two, "report", "--gate", "--format", "json")
    assert gate.returncode == 10, gate.stderr
    assert figueira(binary, two, "routes", "set", "everything", "--mode", "canary").returncode != 0

    # What is proved is in force in both within two seconds, where nothing else keeps the machine busy: the best of three.
    took = []
    for turn in range(3):
        assert figueira(binary, one, "brake", "release", "everything", "--reason", "once more").returncode == 0
        until(lambda: held(one) + held(two) == [])
        ask(one, "/uuid", f"one-again-{turn}")
        ask(two, "/uuid", f"two-again-{turn}")
        proved = time.monotonic()
        until(lambda: [brake["by"] for brake in held(one) + held(two)] == ["the verdict", "the verdict"])
        took.append(time.monotonic() - proved)
    assert min(took) < 2, took
    until(lambda: told(one) == told(two) and told(one)["failures"] == 10)

    # A difference that only the other has seen is listed with an example, as its own are.
    for n in range(2):
        ask(one, "/headers", f"one-headers-{n}")
    until(lambda: told(two)["failures"] == told(one)["failures"] == 12)
    until(lambda: shown(two) and all(shown(two)))
    page = tmp_path / "report.html"
    assert figueira(binary, two, "report", "--format", "html", "--output", str(page)).returncode == 0
    assert "another gateway has seen it" not in page.read_text()

    # What lies in the bucket is what a folder would hold, and each comparison once.
    assert one.end() == 0 and two.end() == 0
    lake = tmp_path / "lake"
    bucket = boto3.resource("s3", endpoint_url=radosgw, region_name="us-east-1", **KEYS).Bucket(BUCKET)
    for found in bucket.objects.filter(Prefix="lake/"):
        place = tmp_path / found.key
        place.parent.mkdir(parents=True, exist_ok=True)
        bucket.download_file(found.key, str(place))

    def report(evidence: object) -> dict:
        answer = figueira(binary, one, "report", "--format", "json", "--evidence", str(evidence))
        assert answer.returncode == 0, answer.stderr
        [route] = json.loads(answer.stdout)["routes"]
        return route

    exported = report(f"s3://{BUCKET}/lake")
    assert exported == report(lake)
    assert exported["counts"]["sampled"] == exported["counts"]["requests"] == 38
    assert (exported["pairs"], exported["failures"]) == (37, 12)
