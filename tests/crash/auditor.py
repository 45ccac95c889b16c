#!/usr/bin/env python3
"""The auditor: compares what the provider charged, what the catalog says and what the store holds, and proves that
nothing was lost:

    charged = stored + unknown + paid-lost + paid-invalid        each charge is accounted for by one job
    credits = images done, and those that the shop drew itself   one credit each, and nothing held for what is over
    orphans = 0                                                  every object is in the record of a job that is done
    kept = paid-invalid                                          what was paid and cannot be used is in the spool, and only that;
                                                                 so is what lay there when a gateway died; but for notes
                                                                 of claims that may be written yet
    charges per key <= 1                                         a prompt names its key, so the ledger knows it; and none where
                                                                 the shop has answered the key itself
    budget exact                                                 each day holds what its jobs reserved or cost

    auditor.py --ledger URL --shop URL --answers FILE --had-kept FILE --spool DATA/spool --catalog DATA/catalog.sqlite --images DATA/images
    auditor.py ... --catalog dynamodb:URL/TABLE --images s3:URL/BUCKET

Prints its figures as JSON; exits with 1 where one of them is wrong. It shares no code with what it audits.
"""

from __future__ import annotations

import argparse
import hashlib
import http.cookiejar
import json
import re
import sqlite3
import sys
import urllib.parse
import urllib.request
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

OPEN = {"accepted", "drawing", "storing", "undoing"}
REGION = "us-east-1"


@dataclass
class Job:
    id: str
    state: str
    reason: str | None
    prompt: str
    day: int
    reserved: int
    cost: int | None
    images: dict[str, str] = field(default_factory=dict)
    """Hashes by name."""

    def spent(self) -> int:
        """What the budget of its day should hold for it, in millionths."""
        if self.state == "handed-over" or self.reason == "refused":
            return 0
        if self.state in ("accepted", "drawing") or self.reason == "unknown":
            return self.reserved
        return self.reserved if self.cost is None else self.cost


def from_sqlite(path: str) -> tuple[list[Job], dict[int, int]]:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    jobs = {
        row["id"]: Job(row["id"], row["state"], row["reason"], row["prompt"], row["day"], row["reserved"], row["cost"])
        for row in db.execute("SELECT * FROM jobs")
    }
    for row in db.execute("SELECT job, name, sha256 FROM objects"):
        jobs[row["job"]].images[row["name"]] = row["sha256"]
    return list(jobs.values()), dict(db.execute("SELECT day, spent FROM budget").fetchall())


def from_dynamodb(place: str) -> tuple[list[Job], dict[int, int]]:
    import boto3

    url, table = place.rsplit("/", 1)
    pages = boto3.client("dynamodb", endpoint_url=url, region_name=REGION).get_paginator("scan")
    jobs, budget = [], {}
    epoch = __import__("datetime").date(1970, 1, 1)
    for page in pages.paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            key = item["pk"]["S"]
            if key.startswith("budget#"):
                day = __import__("datetime").date.fromisoformat(key.removeprefix("budget#"))
                budget[(day - epoch).days] = int(item["spent"]["N"])
            if key.startswith("job#"):
                text = lambda name: item.get(name, {}).get("S")  # noqa: E731
                whole = lambda name: int(item[name]["N"]) if name in item else None  # noqa: E731
                images = {
                    image["M"]["name"]["S"]: image["M"]["sha256"]["S"] for image in item.get("objects", {}).get("L", [])
                }
                jobs.append(
                    Job(
                        text("id"),
                        text("state"),
                        text("reason"),
                        text("prompt"),
                        whole("day"),
                        whole("reserved"),
                        whole("cost"),
                        images,
                    )
                )
    return jobs, budget


def from_folder(path: str) -> dict[str, str]:
    files = (file for file in Path(path).iterdir() if file.is_file() and file.name != "figueira-catalog")
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def from_s3(place: str) -> dict[str, str]:
    import boto3

    url, bucket = place.rsplit("/", 1)
    s3 = boto3.client("s3", endpoint_url=url, region_name=REGION)
    held = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", []):
            if entry["Key"] != "figueira-catalog" and "/" not in entry["Key"]:
                body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
                held[entry["Key"]] = hashlib.sha256(body).hexdigest()
    return held


def from_shop(url: str, customer: str) -> tuple[int, int]:
    """Credits that a customer has spent, and credits that are held; everybody starts with a hundred."""
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    opener = urllib.request.build_opener(jar)
    opener.open(f"{url}/login", urllib.parse.urlencode({"name": customer, "password": "p"}).encode(), 30).close()
    with opener.open(f"{url}/api/credits", timeout=30) as response:
        balance = json.load(response)
    return 100 - balance["credits"], balance["held"]


def kept(spool: Path) -> set[str]:
    """Jobs whose unusable answers lie in a spool."""
    return {folder.name for folder in spool.iterdir() if any(folder.glob("paid-*"))}


def doubted(spool: Path) -> set[str]:
    """Jobs of which nothing lies in a spool but a note that nobody has begun them."""
    return {folder.name for folder in spool.iterdir() if [file.name for file in folder.glob("*")] == ["failed.json"]}


def key_of(prompt: str) -> str:
    """Every request of a crash run names its key in its prompt; each key is of a customer of this name."""
    return re.search(r"key-\d+", prompt)[0]


@dataclass
class Found:
    """What each of the parties says."""

    ledger: list[dict]
    jobs: list[Job]
    budget: dict[int, int]
    held: dict[str, str]
    spooled: set[str]
    doubted: set[str]
    """Those of which only a note lies there."""
    had_kept: set[str]
    """Jobs whose unusable answers lay in the spool when a gateway died."""
    credits: dict[str, tuple[int, int]]
    drawn_by_shop: Counter
    """Images that the shop has drawn itself, by customer, as the customers got them."""


def audit(found: Found) -> tuple[dict, list[str]]:
    """The figures, and what is wrong with them."""
    ledger, jobs, budget, held = found.ledger, found.jobs, found.budget, found.held
    wrong = []
    charges = Counter(key_of(charge["prompt"]) for charge in ledger)
    by_key = defaultdict(list)
    for job in jobs:
        by_key[key_of(job.prompt)].append(job)
    figures = Counter()
    for key, times in charges.items():
        if times > 1:
            wrong.append(f"{key} was charged {times} times")
        if found.drawn_by_shop[key]:
            wrong.append(f"{key} was charged, and the shop has drawn it as well")
        # A job that may have been charged is the last one of its key.
        accounts = [job for job in by_key[key] if job.state == "done" or job.reason in ("unknown", "paid-lost", "paid-invalid")]
        if len(accounts) != 1:
            wrong.append(f"{key} was charged and has {len(accounts)} jobs that account for it: {by_key[key]}")
            continue
        [job] = accounts
        figures["stored" if job.state == "done" else job.reason] += 1
    for job in jobs:
        if job.state in OPEN:
            wrong.append(f"{job.id} is still {job.state}")
        if job.state == "done":
            if charges[key_of(job.prompt)] == 0:
                wrong.append(f"{job.id} is done, and nobody drew it")
            for name, sha256 in job.images.items():
                if held.get(name) != sha256:
                    wrong.append(f"{name} is seen, and is not in the store as recorded")
    known = {name for job in jobs if job.state == "done" for name in job.images}
    orphans = sorted(set(held) - known)
    wrong.extend(f"{name} is in the store and in no record" for name in orphans)
    days = defaultdict(int)
    for job in jobs:
        days[job.day] += job.spent()
    for day in set(days) | set(budget):
        if days[day] != budget.get(day, 0):
            wrong.append(f"day {day}: the budget holds {budget.get(day, 0)}, its jobs {days[day]}")
    paid = {job.id for job in jobs if job.reason == "paid-invalid"}
    # Of a claim that the catalog has not taken, and may take yet.
    spooled = found.spooled - (found.doubted - {job.id for job in jobs})
    wrong.extend(f"{job} was paid, and its answer is not kept" for job in paid - spooled)
    wrong.extend(f"{job} had a paid answer in the spool, and its record does not say so" for job in found.had_kept - paid)
    wrong.extend(f"{job} is over, and still in the spool" for job in spooled - paid)
    for customer, (spent, still_held) in found.credits.items():
        owed = sum(len(job.images) for job in by_key[customer] if job.state == "done") + found.drawn_by_shop[customer]
        if spent != owed:
            wrong.append(f"{customer} has paid {spent} credits for {owed} images, still to be told perhaps")
        if still_held and by_key[customer]:
            wrong.append(f"{customer} has {still_held} credits held, still to be told perhaps")
    if figures["paid-lost"]:
        wrong.append(f"{figures['paid-lost']} were paid and lost, though the data folder survived")
    accounted = sum(figures[name] for name in ("stored", "unknown", "paid-lost", "paid-invalid"))
    if accounted != sum(charges.values()):
        wrong.append(f"{sum(charges.values())} charged, {accounted} accounted for")
    names = ("stored", "unknown", "paid-lost", "paid-invalid")
    return {
        "charged": sum(charges.values()),
        **{name: figures[name] for name in names},
        "jobs": len(jobs),
        "objects": len(held),
        "orphans": len(orphans),
        "kept": len(spooled),
        "credits": sum(spent for spent, _ in found.credits.values()),
        "drawn_by_shop": sum(found.drawn_by_shop.values()),
        "charges_per_key": max(charges.values(), default=0),
        "spent_usd": sum(budget.values()) / 1e6,
    }, wrong


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--ledger", required=True, help="the stand-in's address")
    arguments.add_argument("--shop", required=True, help="the sample monolith's address")
    arguments.add_argument("--answers", required=True, type=Path, help="a line for each customer: name, images from the shop itself")
    arguments.add_argument("--spool", required=True, type=Path, nargs="+", help="of each gateway")
    arguments.add_argument("--had-kept", required=True, type=Path, help="a line for each job that had a paid answer in a dead gateway's spool")
    arguments.add_argument("--catalog", required=True)
    arguments.add_argument("--images", required=True)
    given = arguments.parse_args()
    with urllib.request.urlopen(f"{given.ledger}/stand-in/ledger", timeout=30) as response:
        ledger = json.load(response)["charged"]
    remote = given.catalog.startswith("dynamodb:")
    jobs, budget = from_dynamodb(given.catalog[9:]) if remote else from_sqlite(given.catalog)
    held = from_s3(given.images[3:]) if given.images.startswith("s3:") else from_folder(given.images)
    drawn_by_shop = Counter()
    for line in given.answers.read_text().splitlines():
        customer, images = line.split()
        drawn_by_shop[customer] += int(images)
    credits = {customer: from_shop(given.shop, customer) for customer in drawn_by_shop}
    spooled = {folder.name for spool in given.spool for folder in spool.iterdir()}
    notes = {job for spool in given.spool for job in doubted(spool)}
    had_kept = set(given.had_kept.read_text().split())
    figures, wrong = audit(Found(ledger, jobs, budget, held, spooled, notes, had_kept, credits, drawn_by_shop))
    print(json.dumps(figures))
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
