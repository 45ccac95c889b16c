"""The suites that every catalog and every store must pass, against servers that nobody here wrote."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3
import pytest

ROOT = Path(__file__).parents[2]
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKTESTAKTEST", "AWS_SECRET_ACCESS_KEY": "SKTESTSKTESTSKTEST"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def suite(name, **environment):
    command = ["cargo", "test", "--locked", "--quiet", "--lib", name, "--", "--exact", "--ignored"]
    env = {**os.environ, **CREDENTIALS, **environment}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "1 passed" in said, said


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    port = free_port()
    log = open(tmp_path_factory.mktemp("moto") / "log", "wb")
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
    yield url
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def radosgw(tmp_path_factory):
    assert shutil.which("radosgw"), "radosgw is missing: tests/run installs it"
    folder = tmp_path_factory.mktemp("ceph")
    script = Path(__file__).with_name("radosgw.sh")
    port, monitor = free_port(), free_port()
    subprocess.run(["bash", script, folder, str(port), str(monitor)], check=True, timeout=120)
    url = f"http://127.0.0.1:{port}"
    names = {"aws_access_key_id": "AKTESTAKTEST", "aws_secret_access_key": "SKTESTSKTESTSKTEST"}
    boto3.client("s3", endpoint_url=url, region_name="us-east-1", **names).create_bucket(Bucket="shop")
    yield url
    for name in ("client.rgw", "osd.0", "mon.a"):
        pid = folder / "run" / f"{name}.pid"
        subprocess.run(["kill", pid.read_text().strip()], check=False)


def test_dynamodb(moto):
    suite("generator::catalog::tests::dynamodb_does_what_every_catalog_must", FIGUEIRA_TEST_DYNAMODB_URL=moto)


def test_s3(radosgw):
    suite(
        "generator::store::tests::s3::a_real_server_does_what_every_store_must",
        FIGUEIRA_TEST_S3_URL=radosgw,
        FIGUEIRA_TEST_S3_BUCKET="shop",
    )
