"""Two gateways at one DynamoDB table and one bucket: who is gone or stands still is missed, what it has left is finished
once, and what it thinks of it afterwards changes nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
import matrix  # noqa: E402
from matrix import Run, Trap  # noqa: E402


@pytest.fixture(scope="module")
def two(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Run]]:
    first = Run(binary, tmp_path_factory.mktemp("first"), local=False, s3=None, deadline="60s")
    second = Run(binary, tmp_path_factory.mktemp("second"), local=False, s3=None, beside=first, deadline="60s")
    try:
        first.start()
        second.start()
        yield first, second
    finally:
        second.end()
        first.end()


def state(run: Run, key: str) -> tuple[str, str | None]:
    """Where the job of a key stands, as the table has it."""
    sys.path.insert(0, str(matrix.HERE))
    import auditor

    jobs, _ = auditor.from_dynamodb(run.catalog.removeprefix("dynamodb:"))
    [job] = [job for job in jobs if auditor.key_of(job.prompt) == key]
    return job.state, job.reason


def left(run: Run, key: str, wire: str, matches, after: bool, act) -> str:
    """Has a generation of `run` stopped by `act` at a request; the customer's cookie."""
    run.answers[key] += 0
    cookie = run.sign_in(key)
    done = threading.Event()

    def stop() -> None:
        act()
        done.set()

    run.wires[wire].set(Trap(matches, stop, after=after, passes=True))
    threading.Thread(target=run.ask, args=(key, cookie, "ok", 60), daemon=True).start()
    assert done.wait(60)
    return cookie


def test_one_key_at_two_doors_is_one_generation(two) -> None:
    first, second = two
    key = "key-1"
    first.answers[key] += 0
    cookie = first.sign_in(key)
    answers: list[tuple[int, dict]] = []
    asking = [
        threading.Thread(target=lambda run=run: answers.append(run.ask(key, cookie, "ok", 60)))
        for run in [first, second] * 4
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert {status for status, _ in answers} == {200}
    assert len({answer["imagem"] for _, answer in answers}) == 1


def test_who_is_killed_after_storing_is_finished_by_the_other(two) -> None:
    first, second = two
    stored = []

    def killed_at_the_second() -> None:
        stored.append(1)
        if len(stored) == 2:
            first.kill()

    key = "key-2"
    first.answers[key] += 0
    cookie = first.sign_in(key)
    first.wires["store"].set(Trap(matrix.is_put, killed_at_the_second, after=True, times=2, passes=True))
    first.ask(key, cookie, "ok", 60)
    first.process.wait(30)
    matrix.until(lambda: state(first, key) == ("done", None))
    status, answer = second.ask(key, cookie, "ok", 60)
    assert status == 200 and len(answer["imagens"]) == 2
    first.start()


def test_what_lies_in_a_spool_waits_for_its_gateway(two) -> None:
    first, second = two
    key = "key-3"
    cookie = left(first, key, "store", matrix.is_put, after=False, act=first.kill)
    first.process.wait(30)
    # Twice as long as it takes to be missed: the images may still be in the spool of the one that is gone.
    time.sleep(5)
    assert state(first, key) == ("storing", None)
    first.wires["store"].set()
    first.start()
    matrix.until(lambda: state(first, key) == ("done", None))
    assert second.ask(key, cookie, "ok", 60)[0] == 200


def test_who_stands_still_is_given_up_and_still_brings_what_was_paid(two) -> None:
    first, _ = two
    key = "key-4"
    pause = lambda: first.process.send_signal(signal.SIGSTOP)  # noqa: E731
    left(first, key, "provider", matrix.is_draw, after=True, act=pause)
    matrix.until(lambda: state(first, key) == ("failed", "unknown"))
    first.process.send_signal(signal.SIGCONT)
    matrix.until(lambda: state(first, key) == ("done", None))


def test_who_wakes_up_late_does_not_undo_what_the_other_has_done(two) -> None:
    first, second = two
    key = "key-5"
    writes = []

    def paused_at_the_commit() -> None:
        writes.append(1)
        if len(writes) == 3:
            first.process.send_signal(signal.SIGSTOP)
            matrix.until(lambda: state(first, key) == ("done", None))
            first.process.send_signal(signal.SIGCONT)

    first.answers[key] += 0
    cookie = first.sign_in(key)
    first.wires["catalog"].set(Trap(matrix.is_write, paused_at_the_commit, after=False, times=3, passes=True))
    first.ask(key, cookie, "ok", 60)
    assert len(writes) == 3
    one, other = first.ask(key, cookie, "ok", 60), second.ask(key, cookie, "ok", 60)
    assert one == other and one[0] == 200


def test_a_claim_that_was_written_and_not_confirmed_is_read_back(two) -> None:
    first, _ = two
    key = "key-6"
    first.answers[key] += 0
    cookie = first.sign_in(key)
    # Each try of the SDK takes effect or finds its effect, and hears nothing of it.
    first.wires["catalog"].set(Trap(matrix.is_write, matrix.nothing, after=True, times=4))
    status, answer = first.ask(key, cookie, "ok", 60)
    assert status == 200 and len(answer["imagens"]) == 2
    assert state(first, key) == ("done", None)


@pytest.mark.parametrize(("key", "dies"), [("key-7", False), ("key-12", True)])
def test_a_claim_of_which_nothing_is_known_is_nobodys_to_answer(two, key: str, dies: bool) -> None:
    first, _ = two
    first.answers[key] += 0
    cookie = first.sign_in(key)
    written = []

    def is_after_the_claim(method, path, headers) -> bool:
        if matrix.is_write(method, path, headers):
            written.append(1)
        return bool(written)

    first.wires["catalog"].set(Trap(is_after_the_claim, matrix.nothing, after=True, times=10**6))
    # Neither we nor the monolith: both might be asked again, and one of them paid.
    assert first.ask(key, cookie, "ok", 60)[0] == 503
    assert first.answers[key] == 0
    if dies:
        first.kill()
        first.process.wait(30)
        # The other one gives it up, and knows no better.
        matrix.until(lambda: state(first, key) == ("failed", "unknown"))
    first.wires["catalog"].set()
    if dies:
        first.start()
    # It was never begun: whoever gave it up meanwhile, nothing of the budget is kept for it, and its key is free.
    matrix.until(lambda: state(first, key) == ("failed", "refused"))
    status, answer = first.ask(key, cookie, "ok", 60)
    assert status == 200 and len(answer["imagens"]) == 2


def test_a_failure_that_the_table_does_not_take_is_told_as_what_it_is_and_recorded_later(two) -> None:
    first, _ = two
    key = "key-11"
    first.answers[key] += 0
    cookie = first.sign_in(key)
    first.wires["catalog"].set(Trap(matrix.is_write, matrix.nothing, after=False, count=2, times=10**6))
    status, told = first.ask(key, cookie, "moderation", 60)
    assert status == 400 and "safety system" in told["msg"] and "not on record yet" in told["msg"], told
    assert state(first, key) == ("drawing", None)
    first.wires["catalog"].set()
    # It was not paid for, and its record says so.
    matrix.until(lambda: state(first, key) == ("failed", "refused"))


def test_an_index_that_is_late_hides_a_job_of_before_for_a_lease_only(two) -> None:
    first, second = two
    key = "key-8"
    cookie = left(first, key, "store", matrix.is_put, after=False, act=first.kill)
    first.process.wait(30)
    first.wires["store"].set()
    until = time.monotonic() + 1.5
    is_early_look = lambda _m, _p, headers: headers.get("x-amz-target", "").endswith(".Query") and time.monotonic() < until  # noqa: E731
    empty = b'{"Items":[],"Count":0,"ScannedCount":0}'
    first.wires["catalog"].set(Trap(is_early_look, matrix.nothing, after=False, times=10**6, answer=200, content=empty))
    first.start()
    assert state(first, key) == ("storing", None)
    matrix.until(lambda: state(first, key) == ("done", None))
    assert second.ask(key, cookie, "ok", 60)[0] == 200


def test_a_store_that_hangs_makes_nobody_look_dead(two) -> None:
    first, second = two
    hangs = threading.Event()

    def hang() -> None:
        hangs.set()
        time.sleep(8)

    # Stored late: the janitor comes back to it, and waits there.
    late, drawing = "key-9", "key-10"
    cookies = {}
    for key in (late, drawing):
        first.answers[key] += 0
        cookies[key] = first.sign_in(key)
    refused = Trap(matrix.is_put, matrix.nothing, after=False, answer=403)
    is_any = lambda _method, _path, _headers: True  # noqa: E731
    first.wires["store"].set(refused, Trap(is_any, hang, after=False, times=10**6, passes=True))
    assert first.ask(late, cookies[late], "ok", 60)[0] == 503
    assert hangs.wait(60)
    # Meanwhile the provider takes longer than a lease and a visit of the other one, and is waited for.
    begun = threading.Event()
    first.wires["provider"].set(Trap(matrix.is_draw, begun.set, after=False, passes=True))
    asking = threading.Thread(target=first.ask, args=(drawing, cookies[drawing], "slow:6000", 60), daemon=True)
    asking.start()
    assert begun.wait(60)
    until = time.monotonic() + 5.5
    while time.monotonic() < until:
        assert state(first, drawing) == ("drawing", None)
        time.sleep(0.2)
    first.wires["store"].set()
    for key in (late, drawing):
        matrix.until(lambda key=key: state(first, key) == ("done", None))
        assert second.ask(key, cookies[key], "slow:6000" if key == drawing else "ok", 60)[0] == 200
    asking.join(60)


def test_the_equation_holds_over_all_of_it_and_a_person_is_forgotten_in_all_of_it(two) -> None:
    first, second = two
    figures = first.audit(second)
    assert figures["stored"] == figures["charged"] and figures["orphans"] == 0, figures
    sys.path.insert(0, str(matrix.HERE))
    import auditor

    def images() -> set[str]:
        return set(auditor.from_s3(first.images.removeprefix("s3:")))

    jobs, _ = auditor.from_dynamodb(first.catalog.removeprefix("dynamodb:"))
    [hers] = [set(job.images) for job in jobs if auditor.key_of(job.prompt) == "key-1"]
    before = images()
    assert hers and hers <= before
    command = [second.binary, "erase", "--config", second.folder / "routes.toml", "--tenant", "key-1"]
    said = subprocess.run(command, env=second.env(), capture_output=True, text=True, timeout=60, check=True).stdout
    assert "1 generations with 2 images" in said
    assert images() == before - hers
    jobs, _ = auditor.from_dynamodb(first.catalog.removeprefix("dynamodb:"))
    assert all(auditor.key_of(job.prompt) != "key-1" for job in jobs)
