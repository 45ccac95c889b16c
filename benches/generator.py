#!/usr/bin/env python3
"""What a generation costs the gateway beside what the provider takes: processor time of one 1024x1024 image, and the most
memory that a crowd of large ones takes.

    generator.py target/dist/figueira

The provider answers at once, with the same pictures each time, as large as photographs are in PNG. Needs Pillow."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image, ImageFilter

#: Generations that are measured, after some that are not.
COUNT, WARM_UP = 60, 10
JOBS, IMAGES, LARGE = 16, 10, 2048
MEMORY_MIB = 1024


def photograph(side: int) -> bytes:
    """Shapes with grain: PNG makes of it what it makes of a photograph."""
    small = Image.frombytes("RGB", (32, 32), random.Random(1).randbytes(3 * 32 * 32))
    smooth = small.resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    grain = Image.effect_noise((side, side), 12).convert("RGB")
    file = io.BytesIO()
    Image.blend(smooth, grain, 0.25).save(file, "PNG")
    return file.getvalue()


class Provider(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        pictures = {side: base64.b64encode(photograph(side)).decode() for side in (1024, LARGE)}
        self.bytes = {side: len(text) * 3 // 4 for side, text in pictures.items()}

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_) -> None:
                pass

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                image = {"b64_json": pictures[int(asked["size"].split("x")[0])]}
                body = json.dumps({"created": 1, "data": [image] * asked["n"]}).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Gateway:
    def __init__(self, binary: str, folder: Path, provider: Provider) -> None:
        (folder / "routes.toml").write_text(
            f"""
[gateway]
listen = "127.0.0.1:0"
admin = "off"
[log]
access = "off"
[monolith]
url = "http://127.0.0.1:1"
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
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
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

    def processor_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def most_memory_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def main() -> None:
    provider = Provider()
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(sys.argv[1], Path(folder), provider)
        try:
            for _ in range(WARM_UP):
                gateway.ask(1, 1024)
            before, began = gateway.processor_s(), time.monotonic()
            for _ in range(COUNT):
                gateway.ask(1, 1024)
            each, took = (gateway.processor_s() - before) / COUNT, (time.monotonic() - began) / COUNT
            print(f"one 1024x1024 image of {provider.bytes[1024] / 1e6:.1f} MB   {each * 1e3:.1f} ms of processor, {took * 1e3:.0f} ms in all")
            print(f"memory after {WARM_UP + COUNT} of them          {gateway.most_memory_mib():.0f} MiB at most")
            began = time.monotonic()
            with ThreadPoolExecutor(JOBS) as pool:
                list(pool.map(lambda _: gateway.ask(IMAGES, LARGE), range(JOBS)))
            took = time.monotonic() - began
            whole = JOBS * IMAGES * provider.bytes[LARGE] / 1e6
            print(f"{JOBS} x {IMAGES} of {LARGE}x{LARGE}, {whole:.0f} MB in all   {gateway.most_memory_mib():.0f} MiB at most ({MEMORY_MIB} allowed), {took:.0f} s")
        finally:
            gateway.process.terminate()
            gateway.process.wait()


main()
