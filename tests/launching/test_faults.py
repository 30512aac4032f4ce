"""A rank that dies or hangs ends all of them, soon, with its name; and nothing is left behind."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.conftest import wait_until
from tests.launching.conftest import Start, set_section, steps
from tests.reliability.outcome import differences, outcome

from showtell.run import Run

LIMIT = 30.0
pytestmark = pytest.mark.slow


@pytest.fixture
def long(start: Start) -> Start:
    set_section(start, "training", max_epochs=2000)
    return start


def ends(training, since: float) -> int:
    """The exit code, once all have ended within the limit."""
    code = training.wait(LIMIT)
    wait_until(lambda: not training.left(), LIMIT - (time.monotonic() - since))
    return code


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_rank_dies(long: Start, rank: int, number: signal.Signals) -> None:
    training = long.ranks("run")
    training.reach(3)
    since = time.monotonic()
    os.kill(training.pid_of(rank), number)
    assert ends(training, since) == 128 + number, training.said
    assert f"error: rank {rank} was ended by {number.name}; all 2 ranks were ended" in training.said
    assert Run(training.run_dir).status().state == "failed"
    assert Run(training.run_dir).status().reason == f"rank {rank} was ended by {number.name}"


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_hangs(long: Start, rank: int) -> None:
    training = long.ranks("run")
    training.reach(3)
    since = time.monotonic()
    os.kill(training.pid_of(rank), signal.SIGSTOP)
    assert ends(training, since) == 1, training.said
    assert f"error: rank {rank} was hung: no sign of life" in training.said


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_rank_of_torchrun_dies(long: Start, rank: int, number: signal.Signals) -> None:
    (training,) = long.torchrun("run")
    training.reach(3)
    since, pid = time.monotonic(), training.pid_of(rank)
    os.kill(pid, number)
    assert ends(training, since) == 1, training.said
    assert f"rank      : {rank} (local_rank: {rank})" in training.said
    assert f"Signal {number} ({number.name}) received by PID {pid}" in training.said


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_of_torchrun_hangs(long: Start, rank: int) -> None:
    (training,) = long.torchrun("run")
    training.reach(3)
    since = time.monotonic()
    os.kill(training.pid_of(rank), signal.SIGSTOP)
    assert ends(training, since) == 1, training.said
    assert training.said.count("was hung") == 1, training.said
    assert f"error: rank {rank} was hung: no sign of life for 12 s; rank {rank} was killed" in training.said
    assert Run(training.run_dir).status().state == "failed"


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


@pytest.mark.parametrize("first", [True, False], ids=["with rank 0", "without"])
def test_a_machine_freezes(long: Start, first: bool) -> None:
    started = long.torchrun("run", machines=2)
    wait_until(lambda: max(steps(training.run_dir) for training in started) >= 3, 200)
    frozen, other = sorted(started, key=lambda training: training.run_dir.exists() != first)
    for pid in family(frozen.process.pid):
        os.kill(pid, signal.SIGSTOP)
    since, ranks = time.monotonic(), family(other.process.pid)[1:]
    assert ranks
    wait_until(lambda: not set(ranks) & set(other.left()), LIMIT - (time.monotonic() - since))
    assert (
        f"error: the machine of rank {int(not first)} was silent for 20 s; rank {int(first)} was killed" in other.said
    )
    assert other.wait(240) == 1  # torchrun itself may twice wait for 60 s for the rendezvous of the other


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_torchrun_is_ended(long: Start, number: signal.Signals) -> None:
    (training,) = long.torchrun("run")
    training.reach(3)
    since = time.monotonic()
    os.kill(training.process.pid, number)
    assert ends(training, since) == (-number if number == signal.SIGKILL else 1)
    assert "is saved in" in training.said and Run(training.run_dir).status().state == "stopped"


@pytest.mark.parametrize("when", ["importing", "training"])
def test_the_launcher_is_killed(long: Start, when: str) -> None:
    training = long.ranks("run")
    if when == "training":
        training.reach(3)
    else:
        wait_until(lambda: "1" in training.left().values(), 60)
    since = time.monotonic()
    os.kill(training.process.pid, signal.SIGKILL)
    assert ends(training, since) == -signal.SIGKILL
    assert when == "importing" or "is saved in" in training.said


def test_all_are_suspended_and_go_on(long: Start) -> None:
    training = long.ranks("run")
    training.reach(3)
    os.killpg(training.process.pid, signal.SIGSTOP)
    time.sleep(15)
    os.killpg(training.process.pid, signal.SIGCONT)
    before = steps(training.run_dir)
    training.reach(before + 5)
    os.kill(training.process.pid, signal.SIGTERM)
    assert training.wait(LIMIT) == 143, training.said


def test_two_interrupts_end_all_at_once(long: Start) -> None:
    training = long.ranks("run")
    training.reach(3)
    for _ in range(2):
        os.killpg(training.process.pid, signal.SIGINT)  # as a terminal does
        time.sleep(0.05)
    assert training.wait(LIMIT) == 130, training.said
    assert not training.left() and "Traceback" not in training.said


def test_what_a_dead_rank_leaves_goes_on_exactly(start: Start) -> None:
    set_section(start, "training", checkpoint_every_steps=1)
    untouched = start.ranks("untouched")
    assert untouched.wait() == 0, untouched.said
    training = start.ranks("run")
    training.reach(20)
    os.kill(training.pid_of(1), signal.SIGKILL)
    assert training.wait(LIMIT) == 137, training.said
    again = start.resumed(training)
    assert again.wait() == 0, again.said
    assert not differences(outcome(untouched.run_dir), outcome(again.run_dir))
