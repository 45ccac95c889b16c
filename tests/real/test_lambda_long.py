"""What takes a function its time, and what it cannot say at once: streams, promises, deadlines, large images. Its
provider is played here, so that it draws when it is told to."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import queue
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from functions import (  # noqa: F401
    ARTICLE,
    AWS,
    Function,
    aws,
    by_http,
    by_rest,
    control_plane,
    functions,
    signed,
    site,
)
from gateway import until
from PIL import Image
from played import Handler, serve

ORDER = {"prompt": "a fig tree", "size": "1536x1024", "n": 1}


def noise(size: tuple[int, int]) -> bytes:
    """A PNG that no compression makes smaller: 4.7 MB at 1536x1024."""
    out = io.BytesIO()
    Image.frombytes("RGB", size, os.urandom(3 * size[0] * size[1])).save(out, "PNG", compress_level=1)
    return out.getvalue()


@dataclass
class Painter:
    """A server of the Images API; what it streams it finishes when it may."""

    url: str = ""
    may_finish: threading.Event = field(default_factory=threading.Event)

    def provider(self) -> str:
        key = '{ env = "FIGUEIRA_NOTIFY_SECRET" }'
        openai = f'{{ base_url = "{self.url}/v1", api_key = {key}, retries = 0 }}'
        return f'provider = "openai"\ndeadline = "60s"\nopenai = {openai}'


@pytest.fixture(scope="module")
def painter() -> Iterator[Painter]:
    painter = Painter()

    class Paints(Handler):
        def do_POST(self) -> None:
            order = json.loads(self.read())
            image = base64.b64encode(noise(tuple(map(int, order["size"].split("x"))))).decode()
            about = {"created_at": 1, "size": order["size"], "quality": "high", "background": "opaque", "output_format": "png"}
            if not order.get("stream"):
                if "never" in order["prompt"]:
                    time.sleep(60)
                return self.say(200, json.dumps({"created": 1, "data": [{"b64_json": image}]}).encode())
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for kind, more in [("partial_image", {"partial_image_index": 0}), ("completed", {})]:
                event = {"type": f"image_generation.{kind}", "b64_json": image, **about, **more}
                self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()
                assert painter.may_finish.wait(30)

    server = serve(Paints)
    painter.url = f"http://127.0.0.1:{server.server_port}"
    yield painter
    server.shutdown()


@dataclass
class Answered:
    """What a function has posted for one event."""

    headers: dict[str, str]
    chunks: list[bytes] = field(default_factory=list)
    is_whole: threading.Event = field(default_factory=threading.Event)
    at: float = 0

    def body(self) -> bytes:
        assert self.is_whole.wait(60), "it was not answered"
        return b"".join(self.chunks)


class Runtime:
    """Lambda's runtime API (2018-06-01), as custom runtimes are told of it: one sandbox, whose events have a deadline."""

    def __init__(self) -> None:
        outer = self
        self.events: queue.Queue = queue.Queue()
        self.answers: dict[str, Answered] = {}

        class Api(Handler):
            def do_GET(self) -> None:
                assert self.path == "/2018-06-01/runtime/invocation/next"
                number, event, deadline = outer.events.get()
                self.say(
                    200,
                    json.dumps(event).encode(),
                    Lambda_Runtime_Aws_Request_Id=number,
                    Lambda_Runtime_Deadline_Ms=str(int(deadline * 1000)),
                    Lambda_Runtime_Invoked_Function_Arn="arn:aws:lambda:us-east-1:1:function:_",
                )

            def do_POST(self) -> None:
                number = self.path.split("/")[4]
                answered = Answered({name.lower(): value for name, value in self.headers.items()})
                outer.answers[number] = answered
                pieces = self.chunks() if "transfer-encoding" in answered.headers else [self.read()]
                for piece in pieces:
                    answered.chunks.append(piece)
                answered.at = time.time()
                answered.is_whole.set()
                self.say(202, b"{}")

        self.server = serve(Api)
        self.url = f"127.0.0.1:{self.server.server_port}"

    def invoke(self, event: dict, within: float = 60) -> Answered:
        """The answer to an event, as soon as it has begun."""
        number = f"event-{len(self.answers)}-{time.monotonic_ns()}"
        self.events.put((number, event, time.time() + within))
        until(lambda: number in self.answers)
        return self.answers[number]


def by_url(method: str, path: str, body: str = "", **headers: str) -> dict:
    """By a function URL."""
    event = by_http(method, path, body, **headers)
    event["requestContext"]["domainName"] = "x.lambda-url.us-east-1.on.aws"
    return event


def parts(answer: bytes) -> tuple[dict, bytes]:
    """Head and body of a stream."""
    prelude, _, body = answer.partition(bytes(8))
    return json.loads(prelude), body


def kinds(body: bytes) -> list[str]:
    return re.findall(r"event: image_generation\.(\w+)\n", body.decode())


@pytest.mark.parametrize("front", [by_url, by_rest])
def test_a_stream_leaves_while_it_is_drawn(functions, painter: Painter, front) -> None:  # noqa: F811
    runtime = Runtime()
    function = functions(provider=painter.provider(), runtime=runtime.url, FIGUEIRA_INVOKE_MODE="RESPONSE_STREAM")
    painter.may_finish.clear()
    order = json.dumps({**ORDER, "stream": True, "partial_images": 1})
    answered = runtime.invoke(front("POST", "/v1/images/generations", order))
    assert answered.headers["lambda-runtime-function-response-mode"] == "streaming"
    assert answered.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
    until(lambda: b"\n\n" in b"".join(answered.chunks))
    prelude, body = parts(b"".join(answered.chunks))
    assert (prelude["statusCode"], prelude["cookies"]) == (200, [])
    assert prelude["headers"]["content-type"].startswith("text/event-stream")
    assert kinds(body) == ["partial_image"] and not answered.is_whole.is_set()
    painter.may_finish.set()
    assert kinds(parts(answered.body())[1]) == ["partial_image", "completed"]
    # What is told of it is written before the stream ends, and the sandbox with it.
    [line] = [event for event in function.log() if event["message"] == "request"]
    assert (line["status"], line["route"]) == (200, "openai-images") and line["bytes"] > 8 << 20

    # Larger than any event may be.
    asked = json.dumps({**ORDER, "response_format": "b64_json"})
    prelude, body = parts(runtime.invoke(front("POST", "/v1/images/generations", asked)).body())
    [made] = json.loads(body)["data"]
    assert prelude["statusCode"] == 200 and len(body) > 6 << 20
    asked = json.dumps({**ORDER, "response_format": "url"})
    made = json.loads(parts(runtime.invoke(front("POST", "/v1/images/generations", asked)).body())[1])
    path = "/" + made["data"][0]["url"].split("/", 3)[3]
    prelude, body = parts(runtime.invoke(front("GET", path)).body())
    assert (prelude["statusCode"], prelude["headers"]["content-type"]) == (200, "image/png")
    assert len(body) > 4 << 20 and Image.open(io.BytesIO(body)).size == (1536, 1024)
    prelude, body = parts(runtime.invoke(front("GET", "/nothing/here")).body())
    assert (prelude["statusCode"], json.loads(body)["status"]) == (404, 404)


def test_cargo_lambda_understands_the_stream(functions) -> None:  # noqa: F811
    function = functions(FIGUEIRA_INVOKE_MODE="RESPONSE_STREAM")
    call = f"{function.url}/2015-03-31/functions/_/invocations"
    request = urllib.request.Request(call, json.dumps(by_url("POST", "/api/images", ARTICLE)).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert json.load(answer)["imagem"].startswith("fg-")
    # An HTTP API takes no stream.
    assert function.invoke(by_http("POST", "/api/images", ARTICLE))["statusCode"] == 200


def test_time_is_left_to_say_that_there_was_too_little(functions, painter: Painter) -> None:  # noqa: F811
    runtime = Runtime()
    function = functions(provider=painter.provider(), runtime=runtime.url)
    began = time.time()
    answered = runtime.invoke(by_http("POST", "/api/images", json.dumps({"prompt": "never", "n": 1})), within=6)
    answer = json.loads(answered.body())
    assert (answer["statusCode"], json.loads(answer["body"])["processamento"]) == (504, 504)
    assert 3 < answered.at - began < 6
    [job] = [event for event in function.log() if "job" in event]
    assert (job["state"], job["reason"]) == ("failed", "unknown")


class Api:
    """Lambda's own API: takes an event of a signed caller, and has it invoked later."""

    def __init__(self, status: int) -> None:
        self.function: Function | None = None
        self.taken: list[dict] = []
        outer = self

        class Invoke(Handler):
            def do_POST(self) -> None:
                body = self.read()
                assert self.path == "/2015-03-31/functions/_/invocations?Qualifier=1"
                assert self.headers["X-Amz-Invocation-Type"] == "Event"
                assert is_signed(self, body), "the signature is wrong"
                outer.taken.append(json.loads(body))
                self.say(status)
                if status == 202:
                    threading.Thread(target=outer.function.invoke, args=[outer.taken[-1]], daemon=True).start()

        self.url = f"http://127.0.0.1:{serve(Invoke).server_port}"


def is_signed(handler: Handler, body: bytes) -> bool:
    """As botocore would have signed it."""
    authorization = handler.headers["Authorization"]
    request = AWSRequest("POST", f"http://{handler.headers['Host']}{handler.path}", data=body)
    for name in re.search(r"SignedHeaders=([^,]+)", authorization)[1].split(";"):
        request.headers[name] = handler.headers[name]
    request.context["timestamp"] = handler.headers["X-Amz-Date"]
    signer = SigV4Auth(Credentials(AWS["AWS_ACCESS_KEY_ID"], AWS["AWS_SECRET_ACCESS_KEY"]), "lambda", "us-east-1")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    is_hashed = handler.headers["X-Amz-Content-Sha256"] == hashlib.sha256(body).hexdigest()
    return is_hashed and signer.signature(text, request) in authorization


def state(function: Function, place: str) -> tuple[int, dict]:
    answer = function.invoke(by_http("GET", place))
    return answer["statusCode"], json.loads(answer["body"])


def test_what_is_promised_is_begun_by_an_event_of_its_own(functions) -> None:  # noqa: F811
    api = Api(202)
    api.function = function = functions(AWS_ENDPOINT_URL_LAMBDA=api.url)
    accepted = function.invoke(by_http("POST", "/api/images", ARTICLE, prefer="respond-async"))
    assert (accepted["statusCode"], accepted["headers"]["preference-applied"]) == (202, "respond-async")
    [event] = api.taken
    place = accepted["headers"]["location"]
    assert event == {"figueira": "begin", "job": place.rsplit("/", 1)[1]}
    until(lambda: state(function, place)[0] == 200)
    assert state(function, place)[1]["imagem"].startswith("fg-")
    # Events come at least once.
    assert function.invoke(event) == {"figueira": "begin"}
    assert len([event for event in function.log() if event["message"] == "job done"]) == 1


def test_what_lambda_does_not_take_is_done_before_it_is_promised(functions) -> None:  # noqa: F811
    api = Api(403)
    function = functions(AWS_ENDPOINT_URL_LAMBDA=api.url)
    accepted = function.invoke(by_http("POST", "/api/images", ARTICLE, prefer="respond-async"))
    assert accepted["statusCode"] == 202 and len(api.taken) == 1
    assert state(function, accepted["headers"]["location"])[0] == 200
    [said] = [event["error"] for event in function.log() if "begun here" in event["message"]]
    assert "lambda:InvokeFunction" in said


def test_a_large_image_is_to_be_had_at_the_bucket(functions, painter: Painter) -> None:  # noqa: F811
    function = functions(provider=painter.provider())
    painter.may_finish.set()
    asked = json.dumps({**ORDER, "response_format": "b64_json"})
    answer = function.invoke(by_http("POST", "/v1/images/generations", asked))
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (400, "answer_too_large")
    made = function.invoke(signed(by_http("POST", "/v1/images/generations", json.dumps({**ORDER, "response_format": "url"}))))
    [image] = json.loads(made["body"])["data"]
    assert image["url"].startswith("https://x.lambda-url.us-east-1.on.aws/figueira/images/fg-")
    moved = function.invoke(by_http("GET", "/" + image["url"].split("/", 3)[3]))
    assert (moved["statusCode"], moved["headers"]["cache-control"]) == (307, "no-store"), moved
    with urllib.request.urlopen(moved["headers"]["location"], timeout=30) as at_bucket:
        body = at_bucket.read()
    assert len(body) > 4 << 20 and Image.open(io.BytesIO(body)).size == (1536, 1024)
