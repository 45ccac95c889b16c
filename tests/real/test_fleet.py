"""The evidence of two gateways in one lake: what figueira, DuckDB and Spark read from it is what the gateways kept."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import time
from pathlib import Path

import duckdb
import pytest
from browser import Browser
from seen import assert_fit, assert_no_colour_alone, assert_usable_by_keyboard
from wire import exchange

ANALYTICS = Path(__file__).parents[2] / "deploy" / "analytics"

RULES = """
[parallel_run]
max_lag = "10m"
max_share = "off"
export = "{lake}"

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
calibration = 3
per_subject = 2
min_subjects = 5
"""

#: What each gateway learns the site's noise from: one of them that a UUID varies, the other nothing of it.
LEARNED = {"one": "/uuid", "two": "/html"}
LEARNING = 3

#: Targets, and how often each is asked by each gateway.
TRAFFIC = {"/json": 12, "/html": 6, "/uuid": 3, "/status/503": 2}

#: How often one person asks each gateway, more than count of anybody.
BOTH = 3


def without_evidence(known: Path, folder: Path) -> Path:
    """A data folder that knows people by the same names as `known`, and nothing else."""
    folder.mkdir()
    file = folder / known.name
    with contextlib.closing(sqlite3.connect(known)) as database:
        database.execute("VACUUM INTO ?", [str(file)])
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name != 'meta'").fetchall()
        for [table] in tables:
            database.execute(f"DELETE FROM {table}")
        database.execute("UPDATE meta SET value = lower(hex(randomblob(8))) WHERE key = 'origin'")
    return folder


def compared(gateway) -> float:
    """How many pairs have left their record."""
    lines = gateway.ask_admin("/metrics").body.decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("figueira_comparisons_total{"))


def wait_for(gateway, pairs: int) -> None:
    until = time.monotonic() + 60
    while compared(gateway) < pairs and time.monotonic() < until:
        time.sleep(0.02)


def ask(gateway, target: str, person: str) -> None:
    asked = f"GET {target} HTTP/1.1\r\nHost: x\r\nCookie: session={person}\r\nConnection: close\r\n\r\n"
    assert exchange(gateway.public, asked.encode()).status in (200, 503)


@pytest.fixture(scope="module")
def fleet(gateways, site, tmp_path_factory):
    """Two gateways that have ended, and the lake that they wrote to."""
    lake = tmp_path_factory.mktemp("lake")
    rules = RULES.format(lake=lake, site=site)
    ended = []
    for name in ("one", "two"):
        keys = ""
        if ended:
            known = ended[0].folder / "figueira-data" / "evidence.sqlite"
            keys = f'data = "{without_evidence(known, tmp_path_factory.mktemp("data") / "two")}"'
        gateway = gateways(site, rules, keys)
        for _ in range(LEARNING):
            ask(gateway, LEARNED[name], "nobody")
        wait_for(gateway, LEARNING)
        for target, times in {**TRAFFIC, "/robots.txt": BOTH}.items():
            for n in range(times):
                ask(gateway, target, "both" if target == "/robots.txt" else f"{name}-{target}-{n // 3}")
        # Candidates have the lowest priority, and what waits for one when the gateway ends is skipped.
        wait_for(gateway, LEARNING + sum(TRAFFIC.values()) + BOTH)
        assert gateway.end() == 0
        ended.append(gateway)
    return ended, lake


def report(binary: Path, gateway, *arguments: object) -> dict:
    command = [binary, "report", "--config", gateway.folder / "routes.toml", "--format", "json", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    [route] = json.loads(answer.stdout)["routes"]
    return route


@pytest.fixture(scope="module")
def whole(binary, fleet) -> dict:
    """What figueira reports of the whole fleet."""
    gateways, lake = fleet
    return report(binary, gateways[0], "--evidence", lake)


def test_the_fleets_report_adds_its_gateways_up(binary, fleet, whole) -> None:
    gateways, _ = fleet
    parts = [report(binary, gateway) for gateway in gateways]
    sent = 2 * (LEARNING + sum(TRAFFIC.values()) + BOTH)
    assert whole["counts"]["requests"] == whole["counts"]["sampled"] == sent
    assert len(whole["gateways"]) == 2
    # Two trials of whoever met both gateways are those of one person too many.
    more = {"trials": -2, "matched": -2, "duplicate_subject": 2}
    for name in ("trials", "failures", "matched", "control_failed", "duplicate_subject", "calibration", "sampled"):
        assert whole["counts"][name] == sum(part["counts"][name] for part in parts) + more.get(name, 0), name
    assert whole["counts"]["failures"] > 0 and whole["counts"]["duplicate_subject"] > 0
    # Each pair is judged by what its own gateway had learned, and all of them count.
    assert [part["counts"]["failures"] for part in parts] == [0, whole["counts"]["failures"]]
    assert parts[0]["epoch"]["id"] != parts[1]["epoch"]["id"]
    [uuid] = [difference for difference in whole["differences"] if difference["path"] == "/uuid"]
    assert uuid["pairs"] == sum(
        difference["pairs"] for part in parts for difference in part["differences"] if difference["path"] == "/uuid"
    )


def test_what_either_gateway_saw_is_shown_with_what_was_said(whole) -> None:
    [uuid] = [difference for difference in whole["differences"] if difference["path"] == "/uuid"]
    said = [(example["control"], example["candidate"]) for example in uuid["examples"]]
    assert said and all(control != candidate and control and candidate for control, candidate in said)


@pytest.fixture(scope="module")
def page(binary, fleet, tmp_path_factory) -> Path:
    """The report of the whole fleet, for people."""
    gateways, lake = fleet
    page = tmp_path_factory.mktemp("report") / "fleet.html"
    command = [binary, "report", "--config", gateways[0].folder / "routes.toml", "--format", "html"]
    subprocess.run([*command, "--evidence", lake, "--output", page], timeout=60, check=True)
    return page


def test_the_fleets_page_is_for_everybody(page: Path, seen: Browser) -> None:
    seen.get(page.as_uri())
    assert_fit(seen)


def test_the_fleets_page_is_read_by_keyboard_and_without_colours(page: Path, browser: Browser) -> None:
    browser.get(page.as_uri())
    assert_usable_by_keyboard(browser)
    assert_no_colour_alone(browser)


def query(name: str) -> str:
    """As an analyst asks of this route."""
    text = (ANALYTICS / name).read_text()
    return text.replace("1 AS per_subject", "2 AS per_subject")


def agrees(counts: dict, verdict: dict, whole: dict) -> None:
    """What SQL says of the lake's one route is what the report says."""
    for name, counted in counts.items():
        if name == "skipped":
            assert counted == sum(whole["counts"]["skipped"].values())
        elif name != "route":
            assert counted == whole["counts"][name], name
    assert (verdict["n"], verdict["x"]) == (whole["pairs"], whole["failures"])
    assert verdict["subjects"] == whole["counts"]["subjects"]
    for name in ("log10_e_safe", "log10_e_unsafe"):
        assert float(verdict[name]) == pytest.approx(whole[name], abs=1e-9), name


def test_duckdb_counts_the_same(fleet, whole) -> None:
    _, lake = fleet
    database = duckdb.connect()
    database.execute(f"SET VARIABLE lake = '{lake}'")
    database.execute((ANALYTICS / "duckdb.sql").read_text())

    def one(name: str) -> dict:
        found = database.execute(query(name))
        names = [column[0] for column in found.description]
        [row] = found.fetchall()
        return dict(zip(names, row, strict=True))

    agrees(one("counts.sql"), one("verdict.sql"), whole)
    differences = database.execute((ANALYTICS / "differences.sql").read_text()).fetchall()
    assert any("/uuid" in row for row in differences)
    assert database.execute((ANALYTICS / "latency.sql").read_text()).fetchall()


def test_spark_counts_the_same(fleet, whole, tmp_path) -> None:
    from pyspark.sql import SparkSession

    _, lake = fleet
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    builder = builder.config("spark.sql.shuffle.partitions", "1").config("spark.sql.warehouse.dir", str(tmp_path))
    spark = builder.getOrCreate()
    try:
        for table in ("comparison", "difference", "epoch", "unrecorded"):
            spark.read.parquet(f"{lake}/{table}").createOrReplaceTempView(table)

        def one(name: str) -> dict:
            [row] = spark.sql(query(name)).collect()
            return row.asDict()

        agrees(one("counts.sql"), one("verdict.sql"), whole)
        assert any(row["path"] == "/uuid" for row in spark.sql((ANALYTICS / "differences.sql").read_text()).collect())
        assert spark.sql((ANALYTICS / "latency.sql").read_text()).collect()
    finally:
        spark.stop()
