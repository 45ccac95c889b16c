"""Servers of AWS's protocols that nobody here wrote: moto for DynamoDB, Ceph's radosgw for S3."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3

ROOT = Path(__file__).parents[2]
KEYS = {"aws_access_key_id": "AKTESTAKTEST", "aws_secret_access_key": "SKTESTSKTESTSKTEST"}
#: The same, as a process finds them.
CREDENTIALS = {name.upper(): value for name, value in KEYS.items()}
BUCKET = "shop"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_moto(folder: Path) -> tuple[subprocess.Popen, str]:
    port = free_port()
    with (folder / "log").open("wb") as log:
        command = [sys.executable, ROOT / "tests/crash/aws.py", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=1)
            break
        except OSError:
            assert server.poll() is None, "moto ended"
            time.sleep(0.1)
    return server, url


def run_radosgw(folder: Path) -> Iterator[str]:
    assert shutil.which("radosgw"), "radosgw is missing: tests/run installs it"
    script = Path(__file__).with_name("radosgw.sh")
    port, monitor = free_port(), free_port()
    try:
        subprocess.run(["bash", script, folder, str(port), str(monitor)], check=True, timeout=120)
        url = f"http://127.0.0.1:{port}"
        boto3.client("s3", endpoint_url=url, region_name="us-east-1", **KEYS).create_bucket(Bucket=BUCKET)
        yield url
    finally:
        for pid in (folder / "run").glob("*.pid"):
            subprocess.run(["kill", pid.read_text().strip()], check=False)
