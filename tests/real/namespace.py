"""A story in a mount namespace of its own: what it mounts nobody else sees, and ends with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PATIENCE_S = 120


def command() -> list[str]:
    """What gives another command its own mounts: as root, as root of a user namespace, or by sudo."""
    for command in (["unshare", "-m"], ["unshare", "-rm"], ["sudo", "-n", "unshare", "-m"]):
        tried = [*command, "mount", "-t", "tmpfs", "none", "/mnt"]
        if shutil.which(command[0]) and subprocess.run(tried, capture_output=True, check=False).returncode == 0:
            return command
    pytest.fail("no mount namespace can be made here: neither as this user nor by sudo")


def tell(story: str, *arguments: object) -> None:
    """Runs the file `story` as a program in a namespace, and sees to it that it ends well."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*command(), sys.executable, story, *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def mount_memory(place: Path, size: str) -> None:
    """A file system of `size` at `place`."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], check=True)
