"""The first thing that anybody tries."""

from __future__ import annotations

import subprocess


def test_the_demo_shows_the_whole_walk_and_ends_well(binary, tmp_path) -> None:
    command = [binary, "demo", "--requests", "80", "--exit"]
    demo = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    said = demo.stdout + demo.stderr
    assert demo.returncode == 0, said
    for mode in ["monolith", "shadow", "canary", "migrated"]:
        assert mode in said, said
