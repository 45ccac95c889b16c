"""The paid provider: the official client agrees with the stand-in, the stand-in with our provider, and the client with
the gateway before it. The stand-in's ledger says what was charged."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest
from gateway import Gateway, address
from PIL import Image
from wire import Address

KEY = "sk-canary-4711"


@dataclass
class StandIn:
    """A stand-in for OpenAI's API, in a process of its own."""

    place: Address

    @property
    def url(self) -> str:
        return f"http://{self.place[0]}:{self.place[1]}"

    def ledger(self) -> dict:
        with urllib.request.urlopen(f"{self.url}/stand-in/ledger", timeout=30) as response:
            return json.load(response)

    def charged(self, prompt: str) -> int:
        return sum(prompt in charge["prompt"] for charge in self.ledger()["charged"])

    def next(self, *behaviours: str) -> None:
        request = urllib.request.Request(f"{self.url}/stand-in/next", json.dumps(behaviours).encode(), method="POST")
        urllib.request.urlopen(request, timeout=30).close()


@pytest.fixture(scope="module")
def stand_in(binary: Path) -> Iterator[StandIn]:
    process = subprocess.Popen([binary, "demo", "--provider-only", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        yield StandIn(address(process.stdout.readline()))
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture(scope="module")
def gateway(gateways, site: Address, stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    key = tmp_path_factory.mktemp("key") / "key"
    key.write_text(f"{KEY}\n")
    return gateways(
        site,
        f"""
[generator]
provider = "openai"

[generator.openai]
base_url = "{stand_in.url}/v1"
api_key = {{ file = "{key}" }}
retries = 2
fetch_hosts = ["{stand_in.place[0]}:{stand_in.place[1]}"]

[generator.openai.models."gpt-image-2"]
max_n = 4
prices = [{{ size = "1024x1024", usd = 0.04 }}, {{ size = "1536x1024", usd = 0.06 }}]

[[route]]
name = "openai-images"
methods = ["POST"]
path = "/v1/images/generations"
mode = "migrated"
contract = "openai"
authorize = "public"
fallback = "never"

[[route]]
name = "article-images"
methods = ["POST"]
path = "/api/images"
mode = "migrated"
contract = "article"
authorize = "public"
fallback = "never"

# It fails on purpose, and would be taken back to the monolith.
[route.guard]
max_error_rate = "off"
max_latency_ratio = "off"
max_fallback_rate = "off"

[[route]]
name = "pedidos"
methods = ["POST"]
path = "/pedidos/{{loja}}"
mode = "migrated"
contract = "custom"
authorize = "public"
fallback = "never"

[route.request]
prompt = "form:texto"
n = "form:quantos"
size = "literal:256x256"
user = "path:loja"

[route.response]
status = 201
headers = {{ x-pedido = "{{{{ job }}}}" }}
body = '{{"imagens": [{{% for image in images %}}"{{{{ image.name }}}}"{{% if not loop.last %}},{{% endif %}}{{% endfor %}}], "texto": "{{{{ prompt }}}}"}}'
error_body = '{{"erro": {{{{ status }}}}, "motivo": "{{{{ message }}}}"}}'
""",
    )


def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=60)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def asked(url: str, body: bytes, media_type: str = "application/json") -> tuple[int, dict, dict]:
    request = urllib.request.Request(url, body, {"content-type": media_type}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, dict(response.headers), json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), json.load(error)


def test_the_client_agrees_with_the_stand_in(stand_in: StandIn) -> None:
    direct = client(stand_in.url)
    answer = direct.images.generate(model="gpt-image-2", prompt="a fig", n=2, size="1024x1536", output_format="webp")
    assert [opened(base64.b64decode(image.b64_json)).size for image in answer.data] == [(1024, 1536)] * 2
    assert (answer.size, answer.output_format, answer.quality, answer.background) == ("1024x1536", "webp", "high", "opaque")
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    kinds = []
    for event in direct.images.generate(model="gpt-image-2", prompt="b", stream=True, partial_images=2):
        kinds.append(event.type)
        assert opened(base64.b64decode(event.b64_json)).size == (1024, 1024)
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    for told, expected in [
        ("moderation", openai.BadRequestError),
        ("key", openai.AuthenticationError),
        ("forbidden", openai.PermissionDeniedError),
        ("model", openai.NotFoundError),
        ("quota", openai.RateLimitError),
        ("rate-limit", openai.RateLimitError),
        ("overload", openai.InternalServerError),
        ("reset", openai.APIConnectionError),
    ]:
        with pytest.raises(expected):
            direct.images.generate(model="gpt-image-2", prompt="x", extra_headers={"stand-in": told})
    with pytest.raises(openai.BadRequestError) as refused:
        direct.images.generate(model="gpt-image-2", prompt="x", response_format="b64_json")
    assert (refused.value.code, refused.value.param) == ("unknown_parameter", "response_format")


def test_the_gateway_passes_on_what_was_drawn_and_records_what_it_cost(gateway: Gateway, stand_in: StandIn) -> None:
    answer = client(gateway.url).images.generate(model="gpt-image-2", prompt="a fig tree at dusk", n=2, size="1024x1024")
    assert [opened(base64.b64decode(image.b64_json)).size for image in answer.data] == [(1024, 1024)] * 2
    assert stand_in.charged("a fig tree at dusk") == 1
    metrics = gateway.ask_admin("/metrics").body.decode()
    assert "figueira_generator_provider_rate_remaining{of=\"requests\"} 499.0" in metrics
    assert "figueira_generator_provider_cost_usd_total" in metrics


def test_old_sizes_are_drawn_larger_and_scaled(gateway: Gateway, stand_in: StandIn) -> None:
    for size in (256, 512):
        status, _, said = asked(f"{gateway.url}/api/images", json.dumps({"prompt": f"small {size}", "size": f"{size}x{size}"}).encode())
        assert (status, said["processamento"]) == (200, 200)
        with urllib.request.urlopen(f"{gateway.url}/figueira/images/{said['imagem']}", timeout=30) as response:
            assert opened(response.read()).size == (size, size)
        assert [charge["size"] for charge in stand_in.ledger()["charged"] if charge["prompt"] == f"small {size}"] == ["1024x1024"]


def test_images_by_url_are_downloaded_and_become_ours(gateway: Gateway, stand_in: StandIn) -> None:
    status, _, said = asked(f"{gateway.url}/api/images", b'{"prompt": "elsewhere [[url]]"}')
    assert status == 200
    assert stand_in.url not in json.dumps(said)


@pytest.mark.parametrize(
    ("told", "status", "requests", "charges"),
    [
        ("moderation", 400, 1, 0),
        ("billing", 502, 1, 0),
        ("invalid", 400, 1, 0),
        ("key", 502, 1, 0),
        ("forbidden", 502, 1, 0),
        ("model", 502, 1, 0),
        ("quota", 502, 1, 0),
        ("rate-limit-long", 503, 1, 0),
        ("unavailable", 502, 1, 0),
        ("error", 502, 1, 0),
        ("bad-gateway", 502, 1, 0),
        ("reset", 502, 1, 0),
        ("error-after-charge", 502, 1, 1),
        ("reset-after-charge", 502, 1, 1),
        ("hang-up-after-charge", 502, 1, 1),
        ("cut", 502, 1, 1),
        ("html", 502, 1, 1),
        ("no-data", 502, 1, 1),
        ("empty-data", 502, 1, 1),
        ("fewer", 502, 1, 1),
        ("bad-base64", 502, 1, 1),
        ("wrong-size", 502, 1, 1),
        ("broken-image", 502, 1, 1),
        ("empty-image", 502, 1, 1),
        ("svg", 502, 1, 1),
        ("page", 502, 1, 1),
        ("bomb", 502, 1, 1),
        ("url-at-metadata", 502, 1, 1),
    ],
)
def test_every_failure_is_told_apart_and_none_is_paid_twice(
    gateway: Gateway, stand_in: StandIn, told: str, status: int, requests: int, charges: int
) -> None:
    before = stand_in.ledger()
    answered, headers, said = asked(f"{gateway.url}/api/images", json.dumps({"prompt": f"a fig [[{told}]]"}).encode())
    after = stand_in.ledger()
    assert (answered, said["processamento"]) == (status, status), said
    assert after["requests"] - before["requests"] == requests
    assert len(after["charged"]) - len(before["charged"]) == charges
    assert ("retry-after" in {name.lower() for name in headers}) == (status == 503)
    assert KEY not in json.dumps(said) and "169.254" not in json.dumps(said)


def test_the_client_that_tries_again_by_itself_pays_once(gateway: Gateway, stand_in: StandIn) -> None:
    by_default = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, timeout=60)
    assert by_default.max_retries > 0
    for told in ["error-after-charge", "html", "fewer"]:
        with pytest.raises(openai.InternalServerError):
            by_default.images.generate(model="gpt-image-2", prompt=f"once [[{told}]]", n=2)
        assert stand_in.charged(f"once [[{told}]]") == 1
    before = stand_in.ledger()["requests"]
    # More than the gateway asks again by itself.
    stand_in.next("rate-limit", "rate-limit", "rate-limit", "ok")
    by_default.images.generate(model="gpt-image-2", prompt="nothing was paid")
    assert (stand_in.ledger()["requests"] - before, stand_in.charged("nothing was paid")) == (4, 1)


def test_what_costs_nothing_is_asked_again(gateway: Gateway, stand_in: StandIn) -> None:
    before = stand_in.ledger()["requests"]
    stand_in.next("rate-limit", "overload", "ok")
    status, _, _ = asked(f"{gateway.url}/api/images", b'{"prompt": "patience"}')
    assert (status, stand_in.ledger()["requests"] - before, stand_in.charged("patience")) == (200, 3, 1)


def test_a_contract_of_the_sites_own(gateway: Gateway, stand_in: StandIn) -> None:
    form = "application/x-www-form-urlencoded"
    status, headers, said = asked(f"{gateway.url}/pedidos/figueira%20azul", "texto=um+%22mar%22+%3C3&quantos=2".encode(), form)
    assert status == 201
    assert (len(said["imagens"]), said["texto"]) == (2, 'um "mar" <3')
    assert len(headers["x-pedido"]) == 36 and said["imagens"][0].startswith(f"fg-{headers['x-pedido']}-0")
    charge = next(charge for charge in stand_in.ledger()["charged"] if charge["prompt"] == 'um "mar" <3')
    assert (charge["user"], charge["n"], charge["size"]) == ("figueira azul", 2, "1024x1024")
    for body, status in [(b"texto=", 400), (b"texto=a&quantos=0", 400), (b"texto=a&quantos=x", 400), (b"quantos=1", 400)]:
        answered, _, said = asked(f"{gateway.url}/pedidos/a", body, form)
        assert (answered, said["erro"]) == (status, status) and said["motivo"]


def test_the_key_is_nowhere(gateway: Gateway) -> None:
    asked(f"{gateway.url}/api/images", b'{"prompt": "a fig [[key]]"}')
    for path in ["/api/config", "/metrics", "/api/routes", "/api/jobs", "/"]:
        assert KEY.encode() not in gateway.ask_admin(path).body, path
    for file in gateway.folder.rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file
