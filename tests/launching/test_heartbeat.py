"""Who lives and who is silent; the clock is the test's."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from tests.conftest import wait_until
from tests.launching.conftest import Clock

from showtell.launching import heartbeat
from showtell.launching.heartbeat import SILENCE_SECONDS, Heartbeat, cpu_ticks

SLEEPS = "input()"
COMPUTES = "input(), sum(range(10**12))"  # one call of C that lets no other thread run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(heartbeat, "time", clock)
    return clock


@pytest.fixture
def process() -> Iterator[Callable[[str], subprocess.Popen]]:
    started = []

    def start(code: str) -> subprocess.Popen:
        words = [sys.executable, "-S", "-c", f"print(); {code}"]
        started.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert started[-1].stdout.readline()  # what it takes to start is done
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.communicate()


def seconds_alive(watched: Heartbeat, clock: Clock, each_second: Callable[[], object] = lambda: None) -> int:
    """For how long, up to a minute, it counts as alive."""
    for second in range(60):
        clock.now += 1
        each_second()
        if watched.is_silent():
            return second
    return 60


def settled(pid: int, line: socket.socket) -> Heartbeat:
    """The heartbeat of a process that computes no more."""
    before = -1
    while before != (before := cpu_ticks(pid)):
        time.sleep(0.05)
    watched = Heartbeat(line, pid=pid)
    assert not watched.is_silent()
    return watched


@pytest.fixture
def lines() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_who_neither_speaks_nor_computes_is_silent(process, clock, lines) -> None:
    watched = settled(process(SLEEPS).pid, lines[0])
    assert seconds_alive(watched, clock) == SILENCE_SECONDS
    assert seconds_alive(watched, clock) == 0


def test_who_speaks_lives(process, clock, lines) -> None:
    watched = settled(process(SLEEPS).pid, lines[0])
    assert seconds_alive(watched, clock, lambda: lines[1].send(b".")) == 60
    lines[1].close()
    assert seconds_alive(watched, clock) == SILENCE_SECONDS  # an end is no sign of life


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_who_computes_lives(process, clock, lines) -> None:
    child = process(COMPUTES)
    child.stdin.write(b"\n")
    child.stdin.flush()

    def compute() -> None:
        before = cpu_ticks(child.pid)
        wait_until(lambda: cpu_ticks(child.pid) > before, 60)

    assert seconds_alive(Heartbeat(lines[0], pid=child.pid), clock, compute) == 60


def test_who_was_suspended_itself_has_heard_nothing_and_asks_again(process, clock, lines) -> None:
    watched = settled(process(SLEEPS).pid, lines[0])
    clock.now += 3600
    assert not watched.is_silent()
    assert seconds_alive(watched, clock) == SILENCE_SECONDS
