#!/usr/bin/env python3
"""What a generation costs the gateway beside what the provider takes: processor time of one 1024x1024 image, the most
memory that a crowd of large ones takes, and what it costs those who are forwarded meanwhile.

    generator.py target/dist/figueira [ROUNDS]

The provider gives the same pictures each time, as large as photographs are in PNG. As root the gateway is in a control group
(v1 or v2) that allows it LIMIT_MIB and no swap: beyond that the kernel would kill it. The forwarded requests come at an even
rate, in rounds alone, beside the jobs, and beside curls of the lowest priority that fetch the same answers and drop them:
what these cost, no gateway can spare. In these rounds the answers come over a link of LINK_MB_S: after about DRAWS_S, as from
those who draw them; then at once, so that it is full all the time; at last as fast as the loopback is, which no network is.
Needs Pillow, nginx, h2load and curl."""

from __future__ import annotations

import base64
import io
import json
import math
import multiprocessing
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).parent / "peers"))
import elsewhere  # noqa: E402
from loads import ELSEWHERE  # noqa: E402
from servers import Farm  # noqa: E402

#: Generations that are measured, after some that are not.
COUNT, WARM_UP = 60, 10
JOBS, IMAGES, LARGE = 16, 10, 2048
#: How long the provider draws these, where it takes its time; a real one takes longer.
DRAWS_S = 20
MEMORY_MIB = 1024
#: Of everything that the gateway has in memory.
LIMIT_MIB = 1280
#: Requests a second that are forwarded, by so many clients; and how long a round of them is.
RATE, CLIENTS, ROUND_S = 800, 16, 6
#: What a link of 1 Gbit/s carries.
LINK_MB_S = 125


def photograph(side: int) -> bytes:
    """Shapes with grain: PNG makes of it what it makes of a photograph."""
    small = Image.frombytes("RGB", (32, 32), random.Random(1).randbytes(3 * 32 * 32))
    smooth = small.resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    grain = Image.effect_noise((side, side), 12).convert("RGB")
    file = io.BytesIO()
    Image.blend(smooth, grain, 0.25).save(file, "PNG")
    return file.getvalue()


class Link:
    """What all answers of the provider go over together."""

    PIECE = 256 << 10

    def __init__(self) -> None:
        self.mb_s = multiprocessing.Value("d", math.inf)
        self.lock, self.free = threading.Lock(), 0.0

    def carry(self, body: bytes, write: Callable[[bytes], None]) -> None:
        view = memoryview(body)
        for at in range(0, len(body), self.PIECE):
            write(view[at : at + self.PIECE])
            with self.lock:
                now = time.monotonic()
                self.free = max(self.free, now) + self.PIECE / 1e6 / self.mb_s.value
                wait = self.free - now
            time.sleep(wait)


class Provider(ThreadingHTTPServer):
    """In a process of its own, which takes its processor time from nobody."""

    daemon_threads = True

    def __init__(self) -> None:
        self.link = link = Link()
        self.draws_s = draws_s = multiprocessing.Value("d", 0)
        pictures = {side: base64.b64encode(photograph(side)).decode() for side in (1024, LARGE)}
        self.bytes = {side: len(text) * 3 // 4 for side, text in pictures.items()}

        def answer(side: int, n: int) -> bytes:
            return json.dumps({"created": 1, "data": [{"b64_json": pictures[side]}] * n}).encode()

        answers = {(1024, 1): answer(1024, 1), (LARGE, IMAGES): answer(LARGE, IMAGES)}

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_) -> None:
                pass

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                body = answers[int(asked["size"].split("x")[0]), asked["n"]]
                time.sleep(draws_s.value * random.uniform(0.5, 1.5))
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                link.carry(body, self.wfile.write)

        super().__init__(("127.0.0.1", 0), Handler)
        self.child = os.fork()
        if self.child == 0:
            elsewhere.leave()
            self.serve_forever()


class Group:
    """A control group with a limit of memory; none where we may not make one."""

    def __init__(self) -> None:
        v1, v2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
        self.root = None
        root = (v1 if v1.is_dir() else v2) / f"figueira-bench-{os.getpid()}"
        names = ("memory.limit_in_bytes", "memory.max_usage_in_bytes") if v1.is_dir() else ("memory.max", "memory.peak")
        try:
            root.mkdir()
            (root / names[0]).write_text(str(LIMIT_MIB << 20))
        except OSError as error:
            print(f"no control group, so no limit but `memory`: {error}")
            return
        self.root, self.peak = root, root / names[1]

    def enter(self) -> None:
        if self.root:
            (self.root / "cgroup.procs").write_text(str(os.getpid()))

    def end(self) -> str:
        if not self.root:
            return "no limit by the kernel"
        used = int(self.peak.read_text()) / (1 << 20)
        self.root.rmdir()
        return f"{used:.0f} MiB at most in a control group of {LIMIT_MIB} MiB, page cache included"


class Gateway:
    def __init__(self, binary: str, folder: Path, provider: Provider, monolith: int, group: Group) -> None:
        (folder / "routes.toml").write_text(
            f"""
[gateway]
listen = "127.0.0.1:0"
admin = "off"
data = "{folder / "data"}"
[log]
access = "off"
[monolith]
url = "http://127.0.0.1:{monolith}"
[generator]
provider = "openai"
memory = "{MEMORY_MIB}MiB"
[generator.openai]
base_url = "http://127.0.0.1:{provider.server_address[1]}/v1"
[generator.openai.models."gpt-image-2"]
prices = [{{ size = "1024x1024", usd = 0.04 }}, {{ size = "{LARGE}x{LARGE}", usd = 0.04 }}]
[[route]]
name = "images"
path = "/api/images"
mode = "migrated"
contract = "article"
authorize = "public"
fallback = "never"
"""
        )
        command = [binary, "serve", "--config", folder / "routes.toml"]
        self.images = folder / "data" / "images"
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=group.enter)
        for line in self.process.stdout:
            if "listening" in line and (found := re.search(r"127\.0\.0\.1:(\d+)", line)):
                self.port = int(found[1])
                break
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def ask(self, n: int, side: int) -> None:
        body = json.dumps({"prompt": "a fig tree", "n": n, "size": f"{side}x{side}"}).encode()
        url = f"http://127.0.0.1:{self.port}/api/images"
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=200) as response:
            assert response.status == 200

    def forget(self) -> None:
        """Makes room on the disk: a round stores gigabytes."""
        for image in self.images.iterdir():
            image.unlink()

    def processor_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def most_memory_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def forwarded_p99_ms(gateway: Gateway, folder: Path) -> float:
    """Of requests for 1 KiB, which come at an even rate; each is answered well."""
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)
    command = ["h2load", "--h1", f"--log-file={log}", "-t1", f"-c{CLIENTS}", f"--rps={RATE / CLIENTS}", "-D", str(ROUND_S)]
    subprocess.run([*command, f"http://127.0.0.1:{gateway.port}/1k"], check=True, stdout=subprocess.DEVNULL)
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    assert rows and all(status == "200" for _, status, _ in rows), "not every request was answered well"
    return sorted(int(micros) for _, _, micros in rows)[len(rows) * 99 // 100] / 1e3


class InFlight:
    """Keeps `JOBS` of something in flight, one after the other. What fails ends the benchmark."""

    def __init__(self, one: Callable[[], None], begun_s: float) -> None:
        self.one, self.begun_s, self.over, self.done = one, begun_s, threading.Event(), 0

    def __enter__(self) -> InFlight:
        pool = ThreadPoolExecutor(JOBS)
        self.ends = [pool.submit(self.again) for _ in range(JOBS)]
        time.sleep(self.begun_s)
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.done = sum(end.result() for end in self.ends)

    def again(self) -> int:
        done = 0
        while not self.over.is_set():
            self.one()
            done += 1
        return done


def fetch(provider: Provider) -> None:
    """One answer of `IMAGES` large images, and nothing done with it."""
    asked = json.dumps({"n": IMAGES, "size": f"{LARGE}x{LARGE}"})
    url = f"http://127.0.0.1:{provider.server_address[1]}/v1/images/generations"
    subprocess.run([*ELSEWHERE, "curl", "-sS", "-o", "/dev/null", "-d", asked, url], check=True)


def beside(gateway: Gateway, provider: Provider, folder: Path, rounds: int, mb_s: float, draws_s: float) -> None:
    """The same load alone and beside others, in turn."""
    provider.link.mb_s.value, provider.draws_s.value = mb_s, draws_s
    others = {"jobs": lambda: gateway.ask(IMAGES, LARGE), "curls": lambda: fetch(provider)}
    alone, done = [], dict.fromkeys(others, 0)
    p99 = {name: [] for name in others}
    forwarded_p99_ms(gateway, folder)
    for _ in range(rounds):
        alone.append(forwarded_p99_ms(gateway, folder))
        for name, one in others.items():
            with InFlight(one, draws_s + 1) as crowd:
                p99[name].append(forwarded_p99_ms(gateway, folder))
            done[name] += crowd.done
            gateway.forget()
    print(f"forwarding at {RATE}/s, drawn for {draws_s} s, answers at {mb_s} MB/s, p99 of {rounds} rounds in turn   {statistics.median(alone):.2f} ms alone")
    for name, measured in p99.items():
        ratios = [busy / quiet for busy, quiet in zip(measured, alone)]
        print(f"    beside {JOBS} {name} for {IMAGES} large images   {statistics.median(measured):.2f} ms: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of that; {done[name]} done")


def main() -> None:
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    provider, group = Provider(), Group()
    with tempfile.TemporaryDirectory() as folder, Farm() as farm:
        gateway = Gateway(sys.argv[1], Path(folder), provider, farm.origin().port, group)
        try:
            for _ in range(WARM_UP):
                gateway.ask(1, 1024)
            before, began = gateway.processor_s(), time.monotonic()
            for _ in range(COUNT):
                gateway.ask(1, 1024)
            each, took = (gateway.processor_s() - before) / COUNT, (time.monotonic() - began) / COUNT
            print(f"one 1024x1024 image of {provider.bytes[1024] / 1e6:.1f} MB   {each * 1e3:.1f} ms of processor, {took * 1e3:.0f} ms in all")
            print(f"memory after {WARM_UP + COUNT} of them          {gateway.most_memory_mib():.0f} MiB at most")
            whole = JOBS * IMAGES * provider.bytes[LARGE] / 1e6
            for draws_s in (DRAWS_S, 0):
                provider.draws_s.value = draws_s
                began = time.monotonic()
                with ThreadPoolExecutor(JOBS) as pool:
                    list(pool.map(lambda _: gateway.ask(IMAGES, LARGE), range(JOBS)))
                took = time.monotonic() - began
                print(f"{JOBS} x {IMAGES} of {LARGE}x{LARGE}, {whole:.0f} MB in all, drawn for {draws_s} s   {gateway.most_memory_mib():.0f} MiB at most ({MEMORY_MIB} allowed), {took:.0f} s")
            for mb_s, draws_s in ((LINK_MB_S, DRAWS_S), (LINK_MB_S, 0), (math.inf, 0)) if rounds else ():
                beside(gateway, provider, Path(folder), rounds, mb_s, draws_s)
        finally:
            gateway.process.terminate()
            gateway.process.wait()
            os.kill(provider.child, signal.SIGTERM)
            print(group.end())


main()
