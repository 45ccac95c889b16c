"""A gateway that lives longer than its credentials: those of a role end and are given anew, and every request is signed
with some that are good. The service checks each signature as AWS does, by botocore's own signer."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from gateway import until
from played import Handler, serve
from wire import exchange

REGION = "sa-east-1"
#: Renewed five minutes before they end, and at most once a second.
GOOD_FOR_S = 302


@dataclass
class Role:
    """The credentials of a container's role, as its agent gives them out."""

    given: list[Credentials] = field(default_factory=list)
    is_down: bool = False
    """Whether the agent answers with errors."""

    def give(self) -> dict:
        number = len(self.given)
        made = Credentials(f"AKIDROLE{number}", f"secret-{number}", f"token-{number}")
        self.given.append(made)
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + GOOD_FOR_S))
        return {"AccessKeyId": made.access_key, "SecretAccessKey": made.secret_key, "Token": made.token, "Expiration": ends}


@pytest.fixture
def role() -> Iterator[tuple[Role, str]]:
    role = Role()

    class Agent(Handler):
        def do_GET(self) -> None:
            if role.is_down:
                return self.say(500)
            self.say(200, json.dumps(role.give()).encode(), Content_Type="application/json")

    yield role, f"http://127.0.0.1:{serve(Agent).server_port}/role"


def test_requests_are_signed_with_what_is_given_anew(gateways, role, monkeypatch) -> None:
    role, agent = role
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent)
    monkeypatch.setenv("AWS_REGION", REGION)

    class Service(Handler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            authorization = self.headers["Authorization"]
            key = re.search(r"Credential=([^/]+)", authorization)[1]
            # Who is two renewals behind has not renewed.
            known = {made.access_key: made for made in role.given[-2:]}
            made = known.get(key)
            is_good = made and made.token == self.headers["X-Amz-Security-Token"] and self.is_signed(made, body, authorization)
            self.say(200 if is_good else 403, json.dumps({"key": key}).encode())

        def is_signed(self, made: Credentials, body: bytes, authorization: str) -> bool:
            request = AWSRequest("POST", f"http://{self.headers['Host']}{self.path}", data=body)
            for name in re.search(r"SignedHeaders=([^,]+)", authorization)[1].split(";"):
                request.headers[name] = self.headers[name]
            request.context["timestamp"] = self.headers["X-Amz-Date"]
            signer = SigV4Auth(made, "execute-api", REGION)
            text = signer.string_to_sign(request, signer.canonical_request(request))
            return signer.signature(text, request) in authorization

    gateway = gateways(
        ("127.0.0.1", 9),
        f"""
[upstreams.images]
url = "http://127.0.0.1:{serve(Service).server_port}"
sign = "sigv4"
[[route]]
name = "images"
path = "/{{*rest}}"
mode = "migrated"
candidate = "images"
""",
    )

    def ask() -> tuple[int, str]:
        head = "POST /images HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
        answer = exchange(gateway.public, f"{head}{{}}".encode())
        return answer.status, json.loads(answer.body).get("key", answer.body)

    keys = []
    while len(set(keys)) < 3:
        status, key = ask()
        assert status == 200, key
        keys.append(key)
        given = len(role.given)
        until(lambda: len(role.given) > given)
    assert keys[0] == "AKIDROLE0" and keys == sorted(keys)
    # While nobody gives any, those in use are good for minutes yet.
    role.is_down = True
    until(lambda: [event for event in gateway.log() if "no AWS credentials" in event["message"]])
    assert ask()[0] == 200
    role.is_down = False
    given = len(role.given)
    until(lambda: len(role.given) > given)
    assert ask()[0] == 200
