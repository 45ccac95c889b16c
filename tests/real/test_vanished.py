"""A monolith whose machine vanishes without a word, while connections to it are kept: in a network of the test's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STORY = Path(__file__).parent / "vanished_story.py"
DURATION_S = 240


def test_who_has_vanished_is_not_waited_for(binary: Path, tmp_path: Path):
    own = ["unshare", "--map-root-user", "--net"]
    told = subprocess.run([*own, "true"], capture_output=True, text=True, check=False)
    assert told.returncode == 0, f"this needs a network namespace (run as root, or allow user namespaces): {told.stderr}"
    story = subprocess.run(
        [*own, sys.executable, STORY, binary, tmp_path], capture_output=True, text=True, timeout=DURATION_S, check=False
    )
    assert story.returncode == 0, story.stdout + story.stderr
