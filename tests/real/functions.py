"""Functions as Lambda starts them, at the runtime API of cargo-lambda or another one, with their store and catalog at moto."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from gateway import START_S, events, until

ROOT = Path(__file__).parents[2]
AWS = {"AWS_ACCESS_KEY_ID": "AKTESTAKTEST", "AWS_SECRET_ACCESS_KEY": "SKTESTSKTESTSKTEST", "AWS_REGION": "us-east-1"}
SECRET = "notify-canary-4711"
#: What a gateway before a function says of it; the name of the upstream is `images`.
BEFORE = """
[aws]
region = "us-east-1"
s3_endpoint_url = "{aws}"
dynamodb_endpoint_url = "{aws}"
force_path_style = true

[generator.store]
kind = "s3"
bucket = "images"

[generator.catalog]
kind = "dynamodb"
table = "jobs"

[upstreams.images]
url = "{url}"
sign = "sigv4"
"""
RULES = """
[gateway]
admin = "off"

[log]
format = "json"

[monolith]
url = "{site}"

[aws]
region = "us-east-1"
s3_endpoint_url = "{aws}"
dynamodb_endpoint_url = "{aws}"
force_path_style = true

[generator]
{provider}
lease = "1s"
spool_grace = "{grace}"

[generator.store]
kind = "s3"
bucket = "{bucket}"

[generator.catalog]
kind = "dynamodb"
table = "jobs"

[[route]]
name = "generate-image"
methods = ["POST"]
path = "/api/images"
contract = "article"
mode = "migrated"
authorize = "public"

[[route]]
name = "openai-images"
methods = ["POST"]
path = "/v1/images/generations"
contract = "openai"
mode = "migrated"
authorize = "public"

[[route]]
name = "for-users"
methods = ["POST"]
path = "/api/mine"
contract = "article"
mode = "migrated"

[route.authorize]
url = "/internal/may-generate"
copy = ["x-user-id", "x-hold"]
tenant = "x-user-id"

[route.notify]
url = "/internal/image-created"
secret = {{ env = "FIGUEIRA_NOTIFY_SECRET" }}
"""
ARTICLE = json.dumps({"prompt": "a lighthouse at night", "n": 1, "size": "256x256"})


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def aws(tmp_path_factory) -> Iterator[str]:
    port = free_port()
    with (tmp_path_factory.mktemp("moto") / "log").open("wb") as log:
        server = subprocess.Popen([sys.executable, ROOT / "tests/crash/aws.py", str(port)], stdout=log, stderr=log)
    until(lambda: answers(port) or server.poll() is not None)
    url = f"http://127.0.0.1:{port}"
    create_bucket(url, "images")
    yield url
    server.terminate()
    server.wait()


def create_bucket(aws: str, name: str) -> None:
    keys = {"aws_access_key_id": AWS["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": AWS["AWS_SECRET_ACCESS_KEY"]}
    boto3.client("s3", endpoint_url=aws, region_name="us-east-1", **keys).create_bucket(Bucket=name)


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, list[dict]]]:
    """The monolith that hears of generations."""
    heard: list[dict] = []

    class Site(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append({"path": self.path, "signature": self.headers["Figueira-Signature"], **json.loads(body)})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()


@dataclass
class Function:
    """A function, and where it is invoked."""

    process: subprocess.Popen
    url: str
    folder: Path

    def invoke(self, event: object) -> dict | str:
        """What a direct invocation with this event gives."""
        request = urllib.request.Request(
            f"{self.url}/2015-03-31/functions/_/invocations", json.dumps(event).encode(), method="POST"
        )
        with urllib.request.build_opener(Unraised).open(request, timeout=60) as answer:
            return json.load(answer)

    def log(self) -> list[dict]:
        return events(self.folder / "log.jsonl")


class Unraised(urllib.request.HTTPErrorProcessor):
    def http_response(self, request, response):
        return response


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory) -> Iterator[list]:
    """cargo-lambda, which plays Lambda: one for each function."""
    started: list[subprocess.Popen] = []

    def start() -> str:
        folder, port = tmp_path_factory.mktemp("cargo-lambda"), free_port()
        (folder / "src").mkdir()
        (folder / "src/main.rs").write_text("fn main() {}\n")
        (folder / "Cargo.toml").write_text('[package]\nname = "function"\nversion = "0.0.0"\nedition = "2024"\n')
        tool = Path(sys.executable).with_name("cargo-lambda")
        assert tool.is_file() and shutil.which("cargo"), "cargo-lambda is missing: tests/run installs it"
        command = [tool, "lambda", "watch", "--only-lambda-apis", "-A", "127.0.0.1", "-P", str(port)]
        with (folder / "log").open("wb") as log:
            started.append(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        until(lambda: answers(port) or started[-1].poll() is not None)
        assert started[-1].poll() is None, (folder / "log").read_text()
        return f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.terminate()
        process.wait(START_S)


@pytest.fixture(scope="module")
def functions(binary, aws, site, control_plane, tmp_path_factory):
    """Starts functions as Lambda does: without an argument, in the folder of their rules."""
    started: list[Function] = []

    def start(
        bucket: str = "images",
        grace: str = "24h",
        folder: Path | None = None,
        provider: str = 'provider = "local"',
        runtime: str | None = None,
        monolith: str | None = None,
        rules: str = RULES,
        **more: str,
    ) -> Function:
        folder = folder or tmp_path_factory.mktemp("function")
        rules = rules.format(site=monolith or site[0], aws=aws, bucket=bucket, grace=grace, provider=provider)
        (folder / "routes.toml").write_text(rules)
        (folder / "tmp").mkdir(exist_ok=True)
        url = "" if runtime else control_plane()
        environment = os.environ | AWS | {
            "AWS_LAMBDA_RUNTIME_API": runtime or f"{url}/.rt",
            "AWS_LAMBDA_FUNCTION_NAME": "_",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "FIGUEIRA_NOTIFY_SECRET": SECRET,
            "TMPDIR": str(folder / "tmp"),
            # Nobody is there: a function without Lambda's API.
            "AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:9",
        } | more  # fmt: skip
        made = subprocess.run(
            [binary, "catalog", "create"], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
        )
        assert made.returncode == 0, made.stderr
        with (folder / "log.jsonl").open("wb") as log, (folder / "stderr").open("wb") as errors:
            process = subprocess.Popen([binary], cwd=folder, env=environment, stdout=log, stderr=errors)
        started.append(Function(process, url, folder))
        return started[-1]

    yield start
    for function in started:
        if function.process.poll() is None:
            function.process.terminate()
            assert function.process.wait(START_S) == 0, (function.folder / "stderr").read_text()
        assert not [event for event in function.log() if event["message"] == "panic"]
        assert SECRET not in (function.folder / "log.jsonl").read_text()


def by_rest(method: str, path: str, body: str = "") -> dict:
    return {
        "resource": "/{proxy+}", "path": path, "httpMethod": method, "headers": {"Content-Type": "application/json"},
        "multiValueHeaders": {"Content-Type": ["application/json"], "Host": ["x.execute-api.us-east-1.amazonaws.com"]},
        "queryStringParameters": None, "multiValueQueryStringParameters": None,
        "requestContext": {"stage": "prod", "identity": {"sourceIp": "192.0.2.7"}, "httpMethod": method},
        "body": body, "isBase64Encoded": False,
    }  # fmt: skip


def by_http(method: str, path: str, body: str = "", stage: str = "$default", **headers: str) -> dict:
    return {
        "version": "2.0", "rawPath": path, "rawQueryString": "", "cookies": ["session=1"],
        "headers": {"host": "x.lambda-url.us-east-1.on.aws", "content-type": "application/json", **headers},
        "requestContext": {"stage": stage, "http": {"method": method, "path": path, "sourceIp": "192.0.2.7"}},
        "body": base64.b64encode(body.encode()).decode(), "isBase64Encoded": True,
    }  # fmt: skip


def by_balancer(method: str, path: str, body: str = "") -> dict:
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/x/1"}},
        "httpMethod": method, "path": path, "queryStringParameters": {},
        "headers": {"content-type": "application/json", "host": "shop", "x-forwarded-for": "192.0.2.7"},
        "body": body, "isBase64Encoded": False,
    }  # fmt: skip


def by_stage(method: str, path: str, body: str = "") -> dict:
    return by_http(method, f"/prod{path}", body, "prod")


def signed(event: dict) -> dict:
    """The same, by a caller that AWS knows."""
    event["requestContext"]["authorizer"] = {"iam": {"userArn": "arn:aws:iam::1:role/gateway"}}
    return event
