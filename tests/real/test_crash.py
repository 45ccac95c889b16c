"""A part of the crash matrix (tests/crash/matrix.py runs all of it): the gateway killed at every step, and nothing lost."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
import matrix  # noqa: E402


def test_killed_at_every_step_over_dynamodb_and_s3(binary, tmp_path):
    cases = [("ok", "well", kill) for kill in matrix.KILLS]
    cases += [("ok", store, "never") for store in matrix.STORE] + [("ok", "cut after", "after the store")]
    cases += [(provider, "well", "never") for provider in matrix.PROVIDER]
    cases += [("ok", "well", broken) for broken in [*matrix.CATALOG, *matrix.PROMISED]]
    cases += [("html", "well", "before the record")]
    figures = matrix.run(binary, tmp_path, cases)
    assert figures["stored"] >= 12, figures


def test_killed_around_the_provider_over_sqlite_and_a_folder(binary, tmp_path):
    cases = [case for case in matrix.combinations(local=True) if case[0] in ("ok", "fewer")]
    cases = [case for case in cases if case[2] not in matrix.MOMENTS[8:]]
    figures = matrix.run(binary, tmp_path, cases, local=True)
    assert figures["stored"] >= 4, figures
    # A second, of a release build: `matrix.py --ready-in 1`. This is a debug build on a busy machine.
    assert figures["slowest_start_s"] < 10, figures
