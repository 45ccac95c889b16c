"""The official client of the API that the `openai` contract speaks, pointed at the gateway."""

from __future__ import annotations

import base64
import io
import urllib.request
from urllib.parse import urljoin

import openai
import pytest
from gateway import until
from PIL import Image

ROUTES = """
[generator]
provider = "local"

[[route]]
name = "openai-images"
methods = ["POST"]
path = "/v1/images/generations"
mode = "migrated"
contract = "openai"
authorize = "public"
fallback = "never"
"""


@pytest.fixture(scope="module")
def gateway(gateways, site):
    return gateways(site, ROUTES)


@pytest.fixture(scope="module")
def client(gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="not-needed", max_retries=0, timeout=60)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_by_url(client: openai.OpenAI, gateway) -> None:
    answer = client.images.generate(prompt="a fig tree at noon", size="1024x1024", response_format="url", n=2)
    assert len(answer.data) == 2
    urls = [urljoin(gateway.url, image.url) for image in answer.data]
    assert len(set(urls)) == 2
    for url in urls:
        with urllib.request.urlopen(url, timeout=30) as response:
            image = opened(response.read())
            assert response.headers["Content-Type"] == f"image/{image.format.lower()}"
        assert image.size == (1024, 1024)


def test_by_b64_json(client: openai.OpenAI) -> None:
    answer = client.images.generate(prompt="a fig tree at night", size="1536x1024", response_format="b64_json")
    image = opened(base64.b64decode(answer.data[0].b64_json, validate=True))
    assert image.size == (1536, 1024)
    assert answer.created > 1_700_000_000


@pytest.mark.parametrize(("wrong", "parameter"), [({"n": 0}, "n"), ({"size": "7x7"}, "size"), ({"prompt": ""}, "prompt")])
def test_a_wrong_request_is_refused_in_the_contracts_shape(client: openai.OpenAI, wrong: dict, parameter: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.generate(**{"prompt": "a fig tree", **wrong})
    assert refused.value.type == "invalid_request_error"
    assert refused.value.param == parameter


def test_everything_else_is_still_the_monoliths(gateway) -> None:
    with urllib.request.urlopen(f"{gateway.url}/get?a=1", timeout=30) as response:
        assert b'"a": "1"' in response.read()


def test_each_request_leaves_one_line_that_says_who_answered(client: openai.OpenAI, gateway) -> None:
    def lines() -> list[dict]:
        return [line for line in gateway.log() if "marker=once" in line.get("target", "")]

    client.images.generate(prompt="one more fig tree", size="1024x1024", extra_query={"marker": "once"})
    until(lines)
    (line,) = lines()
    assert (line["message"], line["route"], line["mode"]) == ("request", "openai-images", "migrated")
    assert (line["answered_by"], line["status"], line["generation"]) == ("candidate", 200, 1)
    assert line["duration_ms"] > 0
    assert "fig tree" not in (gateway.folder / "log.jsonl").read_text()
