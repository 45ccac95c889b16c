#!/usr/bin/env python3
"""The crash matrix: every failure of the provider, with every failure of the store, with the real gateway killed (-9) at
every step of a generation; each request tried again with its key; then the auditor.

    matrix.py --binary target/debug/figueira                        all of it, over DynamoDB (moto) and S3 (moto)
    matrix.py --binary target/debug/figueira --s3 URL/BUCKET        the same with another S3 server
    matrix.py --binary target/debug/figueira --local                over SQLite and the file system
    matrix.py --binary target/debug/figueira --sample 12            a part of it, other each time unless --seed

Needs boto3 and moto[server], as tests/run installs them.
"""

from __future__ import annotations

import argparse
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
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Site(ThreadingHTTPServer):
    """A monolith that answers what is handed over."""

    daemon_threads = True

    def __init__(self):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                self.rfile.read(int(self.headers.get("content-length", 0)))
                body = b'{"processamento":200,"imagem":"monolith.png"}'
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Run:
    """The gateway, what it needs, and the wires between."""

    def __init__(self, binary: Path, folder: Path, local: bool, s3: str | None):
        self.binary, self.folder, self.local = binary, folder, local
        self.children: list[subprocess.Popen] = []
        self.site = Site()
        stand_in = subprocess.Popen([binary, "demo", "--provider-only", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
        self.children.append(stand_in)
        port = int(re.search(r"127\.0\.0\.1:(\d+)", stand_in.stdout.readline())[1])
        self.ledger = f"http://127.0.0.1:{port}"
        self.wires = {"provider": Wire(("127.0.0.1", port))}
        if not local:
            self.aws(s3)
        self.process: subprocess.Popen | None = None
        self.public: int | None = None
        self.configure()
        if not local:
            subprocess.run([binary, "catalog", "create", "--config", folder / "routes.toml"], check=True, env=self.env())

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
        url, self.bucket = s3.rsplit("/", 1) if s3 else (moto, "shop")
        if not s3:
            boto3.client("s3", endpoint_url=url, region_name="us-east-1").create_bucket(Bucket=self.bucket)
        s3_port = int(url.rsplit(":", 1)[1])
        self.wires |= {"catalog": Wire(("127.0.0.1", port)), "store": Wire(("127.0.0.1", s3_port))}
        self.catalog, self.images = f"dynamodb:{moto}/jobs", f"s3:{url}/{self.bucket}"

    def env(self) -> dict[str, str]:
        return {**os.environ, "NO_PROXY": "127.0.0.1", "IMAGES_KEY": "sk-test"}

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
url = "http://127.0.0.1:{self.site.server_address[1]}"
[generator]
provider = "openai"
deadline = "5s"
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
authorize = "public"
subject = "header:x-user"
"""
        )

    def start(self) -> None:
        """Starts the gateway and waits until it listens."""
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

    def kill(self) -> None:
        self.process.kill()

    def ask(self, key: str, behaviour: str, timeout: float) -> tuple[int, dict]:
        """Status and body of one try; 0 where there was no answer."""
        body = {"prompt": f"a fig tree {key} [[{behaviour}]]", "n": 2, "size": "1024x1024"}
        headers = {"content-type": "application/json", "idempotency-key": key, "x-user": "maria"}
        url = f"http://127.0.0.1:{self.public}/api/images"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, {}
        except (OSError, ValueError, EOFError):
            return 0, {}
        except Exception as error:  # http.client raises its own when the other side dies
            return 0, {"error": repr(error)}

    def case(self, number: int, provider: str, store: str, kill: str) -> None:
        """One request through one combination, and its key again afterwards."""
        key = f"key-{number}-{provider.replace(':', '-')}"
        traps = {name: [] for name in self.wires}
        if "store" in traps:
            traps["store"] = STORE[store]()
        if KILLS[kill]:
            where, matches, count, after = KILLS[kill]
            if where in traps:
                traps[where].insert(0, Trap(matches, self.kill, after=after, count=count))
        for name, wire in self.wires.items():
            wire.set(*traps[name])
        first = self.ask(key, provider, 15)
        for wire in self.wires.values():
            wire.set()
        if self.process.poll() is not None:
            self.process.wait()
            self.start()
        again = self.ask(key, provider, 20)
        print(f"{number:4} {provider:22} {store:14} {kill:20} {first[0]:4} {again[0]:4}", flush=True)
        if first[0] == 200 and first[1].get("imagem") != "monolith.png":
            assert again == first, f"{key}: the same key got another answer: {first} {again}"

    def audit(self) -> dict:
        """Waits until everything has come to rest, and lets the auditor look."""
        command = [sys.executable, HERE / "auditor.py", "--ledger", self.ledger, "--catalog", self.catalog, "--images", self.images]
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
    stores = ["well"] if local else list(STORE)
    kills = [kill for kill, at in KILLS.items() if not (local and at and at[0] != "provider")]
    return list(itertools.product(PROVIDER, stores, kills))


def run(binary: Path, folder: Path, cases: list[tuple[str, str, str]], local: bool = False, s3: str | None = None) -> dict:
    """Runs these cases, and gives the auditor's figures; what is wrong is an `AssertionError`."""
    running = Run(binary, folder, local, s3)
    try:
        running.start()
        for number, case in enumerate(cases):
            running.case(number, *case)
        return running.audit()
    finally:
        running.end()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binary", type=Path, required=True)
    arguments.add_argument("--local", action="store_true")
    arguments.add_argument("--s3", help="URL/BUCKET of another S3 server")
    arguments.add_argument("--sample", type=int)
    arguments.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = arguments.parse_args()
    cases = combinations(given.local)
    if given.sample:
        print("seed", given.seed)
        cases = random.Random(given.seed).sample(cases, given.sample)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        figures = run(given.binary.resolve(), Path(folder), cases, given.local, given.s3)
        print(f"{len(cases)} cases in {time.monotonic() - began:.0f} s; the auditor: {json.dumps(figures)}")


if __name__ == "__main__":
    main()
