"""routes.toml as containers mount it: a real bind mount of the one file, and of its folder; and without events."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import namespace
from wire import exchange

def test_rules_that_are_mounted_are_followed(binary, site, tmp_path) -> None:
    namespace.tell(__file__, binary, tmp_path, f"{site[0]}:{site[1]}")


def mounted(binary: Path, folder: Path, monolith: str) -> None:
    """The story itself, in a mount namespace of its own."""
    import gateway
    from gateway import until

    def mount(source: Path, place: Path) -> None:
        subprocess.run(["mount", "--bind", source, place], check=True)

    def new_folder(name: str) -> Path:
        made = folder / name
        made.mkdir()
        return made

    host, port = monolith.split(":")
    etc, data = new_folder("etc"), new_folder("data")
    # The name that the gateway opens lies on a mount; what it keeps does not.
    routes = '# version\n[[route]]\nname = "a"\npath = "/a"\nmode = "monolith"\ncontract = "article"\n'
    source, other = new_folder("source"), new_folder("other")
    running = gateway.start(binary, etc, (host, int(port)), routes)
    try:
        plain = (etc / "routes.toml").read_text().replace("[gateway]", f'[gateway]\ndata = "{data}"')
        generation = lambda: json.loads(running.ask_admin("/readyz").body)["generation"]  # noqa: E731
        current = lambda: json.loads(running.ask_admin("/readyz").body)["rules"] == "current"  # noqa: E731

        def followed(change, what: str) -> None:
            before = generation()
            change()
            until(lambda: generation() > before and current())
            answer = exchange(running.public, b"GET /get HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert answer.status == 200, what

        def saying(comment: str) -> str:
            return plain.replace("# version", f"# {comment}")

        # One file over another.
        (source / "routes.toml").write_text(saying("mounted"))
        followed(lambda: mount(source / "routes.toml", etc / "routes.toml"), "a file is mounted")
        followed(lambda: (source / "routes.toml").write_text(saying("edited at its source")), "edited in place")
        followed(lambda: (etc / "routes.toml").write_text(saying("edited at its mount")), "edited through the mount")
        (other / "routes.toml").write_text(saying("another file"))
        followed(lambda: mount(other / "routes.toml", etc / "routes.toml"), "another file is mounted over it")

        # It cannot be renamed over: the command line says so, and the file stays whole.
        refused = subprocess.run(
            [binary, "routes", "set", "a", "--mode", "shadow", "--config", etc / "routes.toml"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode == 1 and "mount" in refused.stderr, refused.stderr
        assert (etc / "routes.toml").read_text() == saying("another file")
        subprocess.run(["umount", etc / "routes.toml"], check=True)
        subprocess.run(["umount", etc / "routes.toml"], check=True)

        # And their folder.
        (source / "routes.toml").write_text(saying("in a folder"))
        followed(lambda: mount(source, etc), "a folder is mounted")

        def replace() -> None:
            (source / "new").write_text(saying("renamed over at its source"))
            (source / "new").rename(source / "routes.toml")

        followed(replace, "renamed over at its source")
        subprocess.run(["umount", etc], check=True)

        # A file system that tells of nothing, as those on a network do: what lies beneath is written, and no event comes.
        lower, empty = new_folder("lower"), new_folder("empty")
        (lower / "routes.toml").write_text(saying("beneath"))
        overlay = ["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower}:{empty}", etc]
        followed(lambda: subprocess.run(overlay, check=True), "an overlay is mounted")
        followed(lambda: (lower / "routes.toml").write_text(saying("written beneath")), "found by looking")
        subprocess.run(["umount", etc], check=True)
    finally:
        running.process.terminate()
        assert running.process.wait(gateway.START_S) == 0


if __name__ == "__main__":
    mounted(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
