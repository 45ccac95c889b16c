#!/usr/bin/env python3
"""The crash matrix: every failure of the provider, with every failure of the store, with the real gateway killed (-9) at
every step of a generation; and every failure of the provider with every failure of the catalog. Each request is a
customer's of the sample monolith, which is asked for permission and told of the end, and is tried again with its key;
then the auditor.

    matrix.py --binary target/debug/figueira                        all of it, over DynamoDB (moto) and S3 (moto)
    matrix.py --binary target/debug/figueira --s3 URL               the same with another S3 server
    matrix.py --binary target/debug/figueira --local                over SQLite and the file system, killed at random moments
    matrix.py --binary target/debug/figueira --at-once 6            in six parts side by side, each with its own services
    matrix.py --binary target/debug/figueira --part 1/4             every fourth case, beginning with the first
    matrix.py --binary target/debug/figueira --sample 12            a part of it, other each time unless --seed
    matrix.py --binary target/release/figueira --local --ready-in 1 each start after a kill within a second

Needs boto3 and moto[server], as tests/run installs them.
"""

from __future__ import annotations

import argparse
import http.cookiejar
import itertools
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from auditor import kept
from proxy import Trap, Wire, nothing, slow

HERE = Path(__file__).parent
PROVIDER = [
    "ok",
    "slow:150",
    "rate-limit",
    "overload",
    "moderation",
    "error-after-charge",
    "reset-after-charge",
    "hang-up-after-charge",
    "cut",
    "fewer",
    "wrong-size",
    "html",
]
is_put = lambda method, path, _: method == "PUT"  # noqa: E731
is_write = lambda _method, _path, headers: "TransactWriteItems" in headers.get("x-amz-target", "")  # noqa: E731
is_notice = lambda _method, path, _: path == "/internal/image-created"  # noqa: E731
is_draw = lambda _method, path, _: path.endswith("/images/generations")  # noqa: E731
STORE = {
    "well": lambda: [],
    "slow": lambda: [Trap(is_put, slow, after=False, passes=True)],
    "503 once": lambda: [Trap(is_put, nothing, after=False, answer=503)],
    "503 for long": lambda: [Trap(is_put, nothing, after=False, answer=503, times=6)],
    "refused": lambda: [Trap(is_put, nothing, after=False, answer=403)],
    "cut before": lambda: [Trap(is_put, nothing, after=False)],
    "cut after": lambda: [Trap(is_put, nothing, after=True, times=2)],
}
KILLS = {
    "never": None,
    "before the claim": ("catalog", is_write, 1, False),
    "after the claim": ("catalog", is_write, 1, True),
    "before the provider": ("provider", is_draw, 1, False),
    "after the provider": ("provider", is_draw, 1, True),
    "before the record": ("catalog", is_write, 2, False),
    "after the record": ("catalog", is_write, 2, True),
    "before the store": ("store", is_put, 1, False),
    "after the store": ("store", is_put, 1, True),
    "before the commit": ("catalog", is_write, 3, False),
    "after the commit": ("catalog", is_write, 3, True),
    "before the notice": ("site", is_notice, 1, False),
    "after the notice": ("site", is_notice, 1, True),
}
# Which write, whether after its effect, and how many answers are lost: the SDK tries three times by itself.
CATALOG = {
    "claim lost once": (1, True, 1),
    "claim lost for long": (1, True, 6),
    "no claim for long": (1, False, 6),
    "record lost once": (2, True, 1),
    "record lost for long": (2, True, 6),
    "no record for long": (2, False, 6),
    "commit lost once": (3, True, 1),
    "commit lost for long": (3, True, 6),
    "no commit for long": (3, False, 6),
}
# A client that does not wait has its promise after the first write, and the second one begins it.
PROMISED = {"promised, then killed": 1, "begun, then killed": 2}
# Of a gateway over SQLite and a folder, where nothing stands between the steps that could be cut: random moments.
MOMENTS = [f"moment {number}" for number in range(50)]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Run:
    """The gateway, what it needs, and the wires between."""

    def __init__(
        self, binary: Path, folder: Path, local: bool, s3: str | None, beside: Run | None = None, deadline: str = "5s"
    ):
        """One with services of its own, or one more `beside` another, at the same table and bucket."""
        self.binary, self.folder, self.local, self.deadline = binary, folder, local, deadline
        self.children: list[subprocess.Popen] = []
        self.process: subprocess.Popen | None = None
        self.dying = False
        self.public: int | None = None
        self.took = self.slowest_start = 0.0
        self.had_kept: set[str] = set()
        """Jobs whose unusable answers lay in the spool when the gateway died."""
        if beside:
            self.wires = {name: Wire(wire.upstream) for name, wire in beside.wires.items()}
            for shared in ("ledger", "shop", "answers", "catalog", "images", "bucket"):
                setattr(self, shared, getattr(beside, shared))
            return self.configure()
        self.answers: Counter[str] = Counter()
        """Images that customers got from the shop itself."""
        provider, shop = self.demo("--provider-only"), self.demo("--monolith-only")
        self.ledger, self.shop = f"http://127.0.0.1:{provider}", f"http://127.0.0.1:{shop}"
        self.wires = {"provider": Wire(("127.0.0.1", provider)), "site": Wire(("127.0.0.1", shop))}
        if not local:
            self.aws(s3)
        self.configure()
        if not local:
            subprocess.run([binary, "catalog", "create", "--config", folder / "routes.toml"], check=True, env=self.env())

    def demo(self, part: str) -> int:
        """Starts a part of the demo, and says on which port."""
        child = subprocess.Popen([self.binary, "demo", part, "127.0.0.1:0"], stdout=subprocess.PIPE, text=True, env=self.env())
        self.children.append(child)
        return int(re.search(r"127\.0\.0\.1:(\d+)", child.stdout.readline())[1])

    def aws(self, s3: str | None) -> None:
        import boto3

        os.environ.setdefault("AWS_ACCESS_KEY_ID", "AKTESTAKTEST")
        os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "SKTESTSKTESTSKTEST")
        port = free_port()
        log = (self.folder / "moto.log").open("wb")
        server = [sys.executable, HERE / "aws.py", str(port)]
        self.children.append(subprocess.Popen(server, stdout=log, stderr=log))
        until(lambda: answers(port))
        moto = f"http://127.0.0.1:{port}"
        url, self.bucket = s3 or moto, f"crash-{os.getpid()}-{port}"
        boto3.client("s3", endpoint_url=url, region_name="us-east-1").create_bucket(Bucket=self.bucket)
        s3_port = int(url.rsplit(":", 1)[1])
        self.wires |= {"catalog": Wire(("127.0.0.1", port)), "store": Wire(("127.0.0.1", s3_port))}
        self.catalog, self.images = f"dynamodb:{moto}/jobs", f"s3:{url}/{self.bucket}"

    def env(self) -> dict[str, str]:
        return {**os.environ, "NO_PROXY": "127.0.0.1", "IMAGES_KEY": "sk-test", "FIGUEIRA_NOTIFY_SECRET": "notify-test"}

    def configure(self) -> None:
        aws = ""
        if self.local:
            self.catalog, self.images = str(self.folder / "data/catalog.sqlite"), str(self.folder / "data/images")
        else:
            aws = f"""
[aws]
s3_endpoint_url = "{self.wires["store"].url}"
dynamodb_endpoint_url = "{self.wires["catalog"].url}"
force_path_style = true
[generator.store]
kind = "s3"
bucket = "{self.bucket}"
sse = "off"
[generator.catalog]
kind = "dynamodb"
table = "jobs"
"""
        (self.folder / "routes.toml").write_text(
            f"""
[gateway]
listen = "127.0.0.1:0"
admin = "off"
workers = 1
data = "data"
[log]
format = "json"
[monolith]
url = "{self.wires["site"].url}"
[generator]
provider = "openai"
deadline = "{self.deadline}"
lease = "2s"
keep_prompts = true
daily_budget_usd = 1000
[generator.openai]
base_url = "{self.wires["provider"].url}/v1"
api_key = {{ env = "IMAGES_KEY" }}
retries = 1
[generator.openai.models."gpt-image-2"]
max_n = 4
prices = [{{ size = "1024x1024", usd = 0.04 }}]
{aws}
[[route]]
name = "generate"
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
wait = "2s"
secret = {{ env = "FIGUEIRA_NOTIFY_SECRET" }}
# It fails on purpose, and would be taken back to the monolith.
[route.guard]
max_error_rate = "off"
max_latency_ratio = "off"
max_fallback_rate = "off"
"""
        )

    def start(self) -> None:
        """Starts the gateway and waits until it listens."""
        self.dying, began = False, time.monotonic()
        with (self.folder / "log.jsonl").open("ab") as log:
            seen = log.tell()
            command = [self.binary, "serve", "--config", self.folder / "routes.toml"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.env())

        def listening():
            assert self.process.poll() is None, (self.folder / "log.jsonl").read_text()[seen:][-3000:]
            found = re.search(r'"message":"listening".*?127\.0\.0\.1:(\d+)', (self.folder / "log.jsonl").read_text()[seen:])
            self.public = found and int(found[1])
            return self.public

        until(listening)
        self.slowest_start = max(self.slowest_start, time.monotonic() - began)

    def kill(self) -> None:
        self.dying = True
        self.process.kill()

    def sign_in(self, customer: str) -> str:
        """The cookie of a new customer."""
        jar = http.cookiejar.CookieJar()
        form = urllib.parse.urlencode({"name": customer, "password": "p"}).encode()
        urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar)).open(f"{self.shop}/login", form, 30).close()
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)

    def ask(self, key: str, cookie: str, behaviour: str, timeout: float, **more: str) -> tuple[int, dict]:
        """Status and body of one try; 0 where there was no answer."""
        body = {"prompt": f"a fig tree {key} [[{behaviour}]]", "n": 2, "size": "1024x1024"}
        headers = {"content-type": "application/json", "idempotency-key": key, "cookie": cookie, **more}
        url = f"http://127.0.0.1:{self.public}/api/images"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                answer = response.status, json.load(response)
        except urllib.error.HTTPError as error:
            said = error.read()
            return error.code, json.loads(said) if said.startswith(b"{") else {}
        except (OSError, ValueError, EOFError):
            return 0, {}
        except Exception as error:  # http.client raises its own when the other side dies
            return 0, {"error": repr(error)}
        if answer[0] == 200 and not answer[1]["imagem"].startswith("fg-"):
            self.answers[key] += len(answer[1]["imagens"])
        return answer

    def case(self, number: int, provider: str, store: str, broken: str) -> None:
        """One request through one combination, and its key again afterwards."""
        key = f"key-{number}"
        self.answers[key] += 0
        cookie = self.sign_in(key)
        traps = {name: [] for name in self.wires}
        if "store" in traps:
            traps["store"] = STORE[store]()
        if broken in CATALOG:
            count, after, times = CATALOG[broken]
            traps["catalog"] = [Trap(is_write, nothing, after=after, count=count, times=times)]
        elif broken in PROMISED:
            traps["catalog"] = [Trap(is_write, self.kill, after=True, count=PROMISED[broken])]
        elif KILLS.get(broken):
            where, matches, count, after = KILLS[broken]
            traps[where].insert(0, Trap(matches, self.kill, after=after, count=count))
        for name, wire in self.wires.items():
            wire.set(*traps[name])
        at_a_moment = threading.Timer(random.uniform(0, self.took * 1.2), self.kill)
        if broken in MOMENTS:
            at_a_moment.start()
        began = time.monotonic()
        more = {"prefer": "respond-async"} if broken in PROMISED else {}
        first = self.ask(key, cookie, provider, 30, **more)
        if first[0] == 202:
            until(lambda: self.dying)
        at_a_moment.cancel()
        if (provider, store, broken) == ("ok", "well", "never"):
            self.took = time.monotonic() - began
        for wire in self.wires.values():
            wire.set()
        if self.dying:
            self.process.wait(30)
            self.had_kept |= kept(self.folder / "data/spool")
            self.start()
        again = self.ask(key, cookie, provider, 30)
        seconds = time.monotonic() - began
        print(f"{number:4} {provider:22} {store:14} {broken:20} {first[0]:4} {again[0]:4} {seconds:6.1f} s", flush=True)
        if first[0] == 200 and first[1]["imagem"].startswith("fg-"):
            assert again == first, f"{key}: the same key got another answer: {first} {again}"

    def audit(self, *beside: Run) -> dict:
        """Waits until everything has come to rest, here and at those `beside`, and lets the auditor look."""
        answers = self.folder / "answers"
        answers.write_text("".join(f"{customer} {images}\n" for customer, images in self.answers.items()))
        command = [sys.executable, HERE / "auditor.py", "--ledger", self.ledger, "--shop", self.shop, "--answers", answers]
        (self.folder / "had-kept").write_text("".join(f"{job}\n" for run in (self, *beside) for job in run.had_kept))
        command += ["--had-kept", self.folder / "had-kept"]
        command += ["--catalog", self.catalog, "--images", self.images, "--spool"]
        command += [run.folder / "data/spool" for run in (self, *beside)]
        deadline = time.monotonic() + 60
        while True:
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0:
                return json.loads(done.stdout)
            if "still" not in done.stderr or time.monotonic() > deadline:
                raise AssertionError(f"{done.stdout}{done.stderr}")
            time.sleep(1)

    def end(self) -> None:
        for child in [self.process, *self.children]:
            if child and child.poll() is None:
                child.terminate()
                child.wait(30)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def combinations(local: bool) -> list[tuple[str, str, str]]:
    if local:
        around = [kill for kill, at in KILLS.items() if not at or at[0] in ("provider", "site")]
        cases = itertools.product(PROVIDER, ["well"], around)
        return [*cases, *(("ok", "well", moment) for moment in MOMENTS)]
    return [*itertools.product(PROVIDER, STORE, KILLS), *itertools.product(PROVIDER, ["well"], [*CATALOG, *PROMISED])]


def run(binary: Path, folder: Path, cases: list[tuple[str, str, str]], local: bool = False, s3: str | None = None) -> dict:
    """Runs these cases, and gives the auditor's figures; what is wrong is an `AssertionError`."""
    running = Run(binary, folder, local, s3)
    try:
        running.start()
        if any(broken in MOMENTS for _, _, broken in cases):
            # How long one takes that nothing happens to.
            running.case(10**6, "ok", "well", "never")
        for number, case in enumerate(cases):
            running.case(number, *case)
        return {**running.audit(), "slowest_start_s": round(running.slowest_start, 2)}
    finally:
        running.end()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binary", type=Path, required=True)
    arguments.add_argument("--local", action="store_true")
    arguments.add_argument("--s3", help="address of another S3 server")
    arguments.add_argument("--at-once", type=int, default=1)
    arguments.add_argument("--part", default="1/1", metavar="K/N")
    arguments.add_argument("--sample", type=int)
    arguments.add_argument("--ready-in", type=float, help="the most seconds that a start may take, of a release build alone on its machine")
    arguments.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = arguments.parse_args()
    part_number, parts_in_all = map(int, given.part.split("/"))
    cases = combinations(given.local)[part_number - 1 :: parts_in_all]
    print("seed", given.seed)
    random.seed(given.seed)
    if given.sample:
        cases = random.sample(cases, given.sample)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(given.at_once) as pool:

        def part(number: int) -> dict | None:
            own = Path(folder) / str(number)
            own.mkdir()
            try:
                return run(given.binary.resolve(), own, cases[number :: given.at_once], given.local, given.s3)
            except Exception as error:
                print(f"part {number}: {error}", file=sys.stderr, flush=True)
                return None

        parts = list(pool.map(part, range(given.at_once)))
    total: Counter = Counter()
    for figures in filter(None, parts):
        for name, value in figures.items():
            most = name in ("charges_per_key", "slowest_start_s")
            total[name] = max(total[name], value) if most else total[name] + value
    print(f"{len(cases)} cases in {time.monotonic() - began:.0f} s; the auditor: {json.dumps(total)}")
    is_late = given.ready_in is not None and total["slowest_start_s"] > given.ready_in
    return 0 if all(parts) and not is_late else 1


if __name__ == "__main__":
    sys.exit(main())
