"""A disk that is full, and one that is read-only: forwarding goes on, nothing is paid that could not be kept, and what was
paid is kept until it is stored. Real file systems of 4 MB, in a mount namespace of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import namespace
from wire import exchange

ROUTE = """
[[route]]
name = "images"
methods = ["POST"]
path = "/post"
mode = "migrated"
contract = "article"
authorize = "public"
[route.guard]
max_error_rate = "off"
max_latency_ratio = "off"
max_fallback_rate = "off"
"""
PAID = """
[generator]
provider = "openai"
[generator.openai]
base_url = "{stand_in}/v1"
api_key = {{ file = "{key}" }}
[generator.openai.models."gpt-image-2"]
prices = [{{ size = "1024x1024", usd = 0.04 }}]
"""


def test_a_full_disk_and_a_read_only_one(binary, site, tmp_path) -> None:
    namespace.tell(__file__, binary, tmp_path, f"{site[0]}:{site[1]}")


def story(binary: Path, folder: Path, monolith: str) -> None:
    import gateway
    from gateway import address, until

    def fill(disk: Path) -> Path:
        """Takes all that is left."""
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file:
            for piece in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"x" * piece)
                except OSError:
                    continue
        return filler

    def ask(running, size: str) -> tuple[int, dict, str | None]:
        body = json.dumps({"prompt": "mar", "size": size}).encode()
        request = urllib.request.Request(f"{running.url}/post", body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response), None
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), error.headers["location"]

    def is_ours(running, size: str = "256x256") -> bool:
        status, answer, _ = ask(running, size)
        assert status == 200, answer
        return "imagem" in answer

    def forwards(running) -> None:
        answer = exchange(running.public, b"GET /get HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.status == 200

    def in_force(running) -> str:
        return json.loads(running.ask_admin("/api/routes").body)["routes"][0]["effective_mode"]

    def brake(running, move: str) -> str:
        """Moves it, and tells the mode that is in force then."""
        at = ["--at", "shadow"] if move == "set" else []
        file = running.folder / "routes.toml"
        subprocess.run([binary, "brake", move, "images", *at, "--reason", "full", "--config", file], check=True)
        until(lambda: in_force(running) == ("shadow" if at else "migrated"))
        return in_force(running)

    def start(name: str, routes: str, data: Path):
        own = folder / name
        own.mkdir()
        return gateway.start(binary, own, (host, int(port)), routes, f'data = "{data}"')

    def ends(running) -> None:
        assert running.end() == 0
        assert not [event for event in running.log() if event["message"] == "panic"]

    host, port = monolith.split(":")
    provider = subprocess.Popen([binary, "demo", "--provider-only", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    stand_in = "http://{}:{}".format(*address(provider.stdout.readline()))

    def charged() -> int:
        with urllib.request.urlopen(f"{stand_in}/stand-in/ledger", timeout=30) as response:
            return len(json.load(response)["charged"])

    try:
        # Full, and room again.
        disk = folder / "disk"
        namespace.mount_memory(disk, "4m")
        running = start("full", ROUTE, disk / "data")
        assert is_ours(running)
        filler = fill(disk)
        forwards(running)
        assert not is_ours(running), "the monolith answers while there is no room"
        forwards(running)
        # A brake holds all the same, and whoever dies starts again and knows of it.
        assert brake(running, "set") == "shadow"
        running.process.kill()
        running.process.wait()
        running = gateway.start(binary, folder / "full", (host, int(port)), ROUTE, f'data = "{disk / "data"}"')
        forwards(running)
        assert in_force(running) == "shadow"
        assert brake(running, "release") == "migrated"
        filler.unlink()
        assert is_ours(running)
        # Read-only, and writable again.
        spool = disk / "data/spool"
        subprocess.run(["mount", "--bind", spool, spool], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", spool], check=True)
        assert not is_ours(running), "the monolith answers while nothing can be written"
        forwards(running)
        subprocess.run(["umount", spool], check=True)
        assert is_ours(running)
        ends(running)

        # What may cost more room than there is, is not paid.
        (folder / "key").write_text("sk-test")
        paid = PAID.format(stand_in=stand_in, key=folder / "key") + ROUTE
        running = start("paid", paid, disk / "paid")
        assert not is_ours(running, "1024x1024")
        forwards(running)
        assert charged() == 0
        ends(running)

        # The store is on a disk of its own, which is full only after the images were paid.
        data = folder / "data"
        data.mkdir()
        namespace.mount_memory(data / "images", "4m")
        running = start("stored", paid, data)
        filler = fill(data / "images")
        status, answer, place = ask(running, "1024x1024")
        assert (status, charged()) == (503, 1), answer
        assert place and [*(data / "spool").iterdir()], "kept"
        forwards(running)
        filler.unlink()

        def stored() -> str | None:
            with urllib.request.urlopen(f"{running.url}{place}", timeout=30) as response:
                return json.load(response).get("imagem")

        until(stored)
        with urllib.request.urlopen(f"{running.url}/figueira/images/{stored()}", timeout=30) as response:
            assert response.read(8) == b"\x89PNG\r\n\x1a\n"
        assert charged() == 1
        until(lambda: not [*(data / "spool").iterdir()])
        ends(running)
    finally:
        provider.terminate()
        provider.wait(gateway.START_S)


if __name__ == "__main__":
    story(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
