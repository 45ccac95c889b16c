"""The generator as a Lambda function: the real binary at the runtime API of cargo-lambda, with the events of every front,
its store and catalog at moto, and the gateway before its URL."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from functions import (  # noqa: F401
    ARTICLE,
    AWS,
    BEFORE,
    ROOT,
    Function,
    aws,
    by_balancer,
    by_http,
    by_rest,
    by_stage,
    control_plane,
    create_bucket,
    functions,
    signed,
    site,
)
from gateway import until
from PIL import Image
from wire import exchange

@pytest.fixture(scope="module")
def function(functions) -> Function:
    return functions()


@pytest.mark.parametrize("front", [by_rest, by_http, by_stage, by_balancer])
def test_every_fronts_requests_are_answered(function: Function, front) -> None:
    made = function.invoke(front("POST", "/api/images", ARTICLE))
    assert (made["statusCode"], made["isBase64Encoded"]) == (200, False), made
    name = json.loads(made["body"])["imagem"]
    assert name.startswith("fg-")

    shown = function.invoke(front("GET", f"/figueira/images/{name}"))
    assert (shown["statusCode"], shown["isBase64Encoded"]) == (200, True)
    image = Image.open(io.BytesIO(base64.b64decode(shown["body"], validate=True)))
    image.load()
    assert (image.size, image.format) == ((256, 256), "PNG")
    fields = shown.get("headers") or {name: value[0] for name, value in shown["multiValueHeaders"].items()}
    assert fields["content-type"] == "image/png"

    refused = function.invoke(front("POST", "/api/images", '{"prompt": ""}'))
    assert refused["statusCode"] == json.loads(refused["body"])["processamento"] == 400
    unknown = function.invoke(front("GET", "/nothing/here"))
    assert (unknown["statusCode"], json.loads(unknown["body"])["status"]) == (404, 404)


def test_the_log_is_written_before_the_function_stands_still(function: Function) -> None:
    function.invoke(by_http("POST", "/api/images", ARTICLE, **{"x-request-id": "a-strangers"}))
    [*_, event] = [event for event in function.log() if event["message"] == "request"]
    assert (event["route"], event["status"], event["answered_by"]) == ("generate-image", 200, "candidate")
    assert event["client"] == "192.0.2.7" and event["request_id"] == event["invocation"]


def test_a_direct_invocation_is_an_articles(function: Function) -> None:
    assert function.invoke(json.loads(ARTICLE))["imagem"].startswith("fg-")
    assert function.invoke({"prompt": "x", "n": 0})["processamento"] == 400


def test_an_unknown_event_is_an_error(function: Function) -> None:
    answer = function.invoke({"Records": [{"eventSource": "aws:s3", "token": "canary-0815"}]})
    assert answer["errorType"] == "UnreadableEvent", answer
    assert "this has Records" in answer["errorMessage"] and "canary" not in json.dumps(answer)
    # And the next one is answered as ever.
    assert function.invoke(json.loads(ARTICLE))["processamento"] == 200


def test_users_are_those_of_the_gateway_that_asked(function: Function, site) -> None:
    _, heard = site
    facts = {"figueira-request": "r-17", "x-user-id": "maria", "x-hold": "hold-4"}
    stranger = function.invoke(by_http("POST", "/api/mine", ARTICLE, **facts))
    assert (stranger["statusCode"], json.loads(stranger["body"])["processamento"]) == (403, 403)
    unasked = function.invoke(signed(by_http("POST", "/api/mine", ARTICLE)))
    assert unasked["statusCode"] == 403
    assert not heard

    made = function.invoke(signed(by_http("POST", "/api/mine", ARTICLE, **facts)))
    assert made["statusCode"] == 200, made
    # By the time of the answer it was delivered: afterwards nothing runs.
    [news] = heard
    assert (news["path"], news["event"], news["request"]) == ("/internal/image-created", "done", "r-17")
    assert (news["tenant"], news["facts"]["x-hold"]) == ("maria", "hold-4")
    assert news["images"][0]["name"] == json.loads(made["body"])["imagem"]
    assert news["signature"].startswith("v1=")

    # A shadow is drawn without being asked for, and nobody is told.
    shadow = function.invoke(signed(by_http("POST", "/api/mine", ARTICLE, **{"figueira-shadow": "1"})))
    name = json.loads(shadow["body"])["imagem"]
    assert function.invoke(by_http("GET", f"/figueira/images/{name}"))["statusCode"] == 200
    assert len(heard) == 1


def test_who_does_not_wait_gets_what_was_finished_before(function: Function) -> None:
    accepted = function.invoke(by_http("POST", "/api/images", ARTICLE, prefer="respond-async"))
    assert (accepted["statusCode"], accepted["headers"]["preference-applied"]) == (202, "respond-async")
    done = function.invoke(by_http("GET", accepted["headers"]["location"]))
    assert done["statusCode"] == 200 and json.loads(done["body"])["imagem"].startswith("fg-")


def parked(functions, bucket: str, grace: str = "24h") -> tuple[Function, str]:
    """A function that has drawn what its store does not take, and the job."""
    function = functions(bucket=bucket, grace=grace)

    def ask() -> None:
        # It is killed meanwhile.
        with contextlib.suppress(OSError, ValueError):
            function.invoke(by_http("POST", "/api/images", ARTICLE))

    threading.Thread(target=ask, daemon=True).start()
    jobs = lambda: [event["job"] for event in function.log() if event.get("state") == "parked"]  # noqa: E731
    until(jobs)
    return function, jobs()[0]


def test_a_store_that_is_down_is_waited_for_while_there_is_time(functions, aws) -> None:
    function = functions(bucket="late")
    answer: list[dict] = []
    asking = threading.Thread(target=lambda: answer.append(function.invoke(by_http("POST", "/api/images", ARTICLE))))
    asking.start()
    until(lambda: [event for event in function.log() if event.get("state") == "parked"])
    create_bucket(aws, "late")
    asking.join()
    assert answer[0]["statusCode"] == 503, answer
    done = function.invoke(by_http("GET", answer[0]["headers"]["location"]))
    assert done["statusCode"] == 200, done


def test_a_sandbox_that_begins_again_stores_what_it_had_drawn(functions, aws) -> None:
    crashed, job = parked(functions, "again")
    crashed.process.kill()
    crashed.process.wait()
    create_bucket(aws, "again")
    again = functions(bucket="again", folder=crashed.folder)
    assert again.invoke(by_http("GET", f"/figueira/jobs/{job}"))["statusCode"] == 200


def test_what_was_lost_with_a_sandbox_is_given_up_by_the_schedule(functions) -> None:
    lost, job = parked(functions, "never", "1s")
    lost.process.kill()
    lost.process.wait()

    # Another sandbox, which has nothing of the first one's disk.
    other = functions(grace="1s")
    assert other.invoke({"figueira": "janitor"}) == {"figueira": "janitor"}
    # The janitor of the start may be at it at the same time.
    until(lambda: other.invoke(by_http("GET", f"/figueira/jobs/{job}"))["statusCode"] != 202)
    given_up = other.invoke(by_http("GET", f"/figueira/jobs/{job}"))
    assert (given_up["statusCode"], json.loads(given_up["body"])["processamento"]) == (502, 502)
    [rest] = [event for event in other.log() if event.get("job") == job and event.get("reason") == "paid-lost"]
    assert rest["state"] == "failed"


def test_a_schedule_does_all_that_a_janitor_does(function: Function) -> None:
    event = {"version": "0", "id": "1", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}
    assert function.invoke(event) == {"figueira": "reconcile"}
    assert [event for event in function.log() if event["message"] == "the store is marked as this catalog's"]


def test_the_gateway_calls_it_by_its_url_and_shows_its_images(function: Function, gateways, site, aws, monkeypatch) -> None:
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    port = int(site[0].rsplit(":", 1)[1])
    gateway = gateways(
        ("127.0.0.1", port),
        BEFORE.format(aws=aws, url=function.url)
        + """
[[route]]
name = "generate-image"
methods = ["POST"]
path = "/api/images"
mode = "migrated"
candidate = "images"
""",
    )
    head = f"POST /api/images HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {len(ARTICLE)}\r\nConnection: close\r\n"
    answer = exchange(gateway.public, f"{head}Content-Type: application/json\r\n\r\n{ARTICLE}".encode())
    assert answer.status == 200, answer
    name = json.loads(answer.body)["imagem"]
    with urllib.request.urlopen(f"{gateway.url}/figueira/images/{name}", timeout=30) as shown:
        assert Image.open(io.BytesIO(shown.read())).size == (256, 256)
    [*_, event] = [event for event in function.log() if event["message"] == "request"]
    assert (event["route"], event["status"]) == ("generate-image", 200)


def test_a_cold_start_that_cannot_be_says_why_once(binary, tmp_path) -> None:
    (tmp_path / "routes.toml").write_text('[monolith]\nurl = "http://127.0.0.1:9"\n')
    runtime = {
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9",
        "AWS_LAMBDA_FUNCTION_NAME": "_",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    }

    def start(**environment: str) -> str:
        command, env = [binary, "lambda"], os.environ | environment
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stderr.count("figueira: ")) == (1, 1), done
        return done.stderr

    said = start(**runtime)
    assert "[generator.store]" in said and "[generator.catalog]" in said and "no [[route]]" in said
    assert "AWS_LAMBDA_RUNTIME_API" in start()
    (tmp_path / "routes.toml").write_text("[monolith]\nurl = 7\n")
    assert "routes.toml:2:7" in start(**runtime)


def test_the_template_is_one_that_cloudformation_takes() -> None:
    template = ROOT / "deploy/lambda/template.yaml"
    command = [Path(sys.executable).with_name("cfn-lint"), "--non-zero-exit-code", "informational", template]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
