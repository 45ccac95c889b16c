"""A monolith behind a name, while its DNS server fails in every way: the system's own resolver, in a network and a
/etc/resolv.conf of the test's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STORY = Path(__file__).parent / "names_story.py"
DURATION_S = 120


def test_the_last_good_answer_serves_while_the_resolver_fails(binary: Path, tmp_path: Path):
    own = ["unshare", "--map-root-user", "--mount", "--net"]
    told = subprocess.run([*own, "true"], capture_output=True, text=True, check=False)
    assert told.returncode == 0, f"this needs a network namespace (run as root, or allow user namespaces): {told.stderr}"
    story = subprocess.run(
        [*own, sys.executable, STORY, binary, tmp_path], capture_output=True, text=True, timeout=DURATION_S, check=False
    )
    assert story.returncode == 0, story.stdout + story.stderr
