"""The case files of the Autobahn test suite, run by kosoku, and what came of each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from wire import Address

TIMEOUT_S = 1200


def results(address: Address, cases: list[str], folder: Path) -> dict[str, tuple[str, str]]:
    """For each case, how its messages and how its closing were judged."""
    command = [Path(sys.executable).with_name("kosoku"), "--mode", "fuzzingclient", "--parallelism", "4"]
    command += ["--outdir", folder, *(word for case in cases for word in ("--include", case))]
    done = subprocess.run(
        [*command, f"{address[0]}:{address[1]}"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    index = folder / "index.json"
    assert index.is_file(), done.stdout + done.stderr
    (agent,) = json.loads(index.read_text()).values()
    # Whether what came before a bad frame is still answered (OK) or not (NON-STRICT) hangs on whether TCP brought both at
    # once: either is right, the same server does both, and no hop keeps the pieces that TCP makes.
    of = lambda verdict: "OK" if verdict == "NON-STRICT" else verdict
    return {case: (of(found["behavior"]), found["behaviorClose"]) for case, found in agent.items()}
