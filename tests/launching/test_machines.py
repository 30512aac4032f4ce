"""Machines that hear one another; the clock is the test's."""

import select
import socket
from collections.abc import Callable, Iterator

import pytest
from tests.launching.conftest import Clock

from showtell.distributed import Ranks
from showtell.launching import heartbeat, watcher
from showtell.launching.heartbeat import MACHINE_SILENCE_SECONDS
from showtell.launching.watcher import Machines, watch_machines

Join = Callable[[str, int], Machines]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (heartbeat, watcher):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(watcher, "BEAT_SECONDS", 0.02)  # what one waits for a byte
    return clock


@pytest.fixture
def hub(clock: Clock) -> Iterator[Machines]:
    with socket.create_server(("localhost", 0)) as server:
        hub = Machines(server, "key")
        yield hub
        for machine in hub.known.values():
            machine.line.close()


@pytest.fixture
def joined(hub: Machines) -> Iterator[Callable[[str, int], Machines]]:
    others = []

    def join(key: str, rank: int) -> Machines:
        others.append(Machines(None, key))
        others[-1].connect("localhost", hub.server.getsockname()[1], rank)
        assert hub.silent() is None
        return others[-1]

    yield join
    for other in others:
        for machine in other.known.values():
            machine.line.close()


def turns(clock: Clock, *asked: Machines, seconds: int = 60) -> list[tuple[int, int]]:
    """Seconds and the rank that was found silent, by the first machine."""
    found = []
    for second in range(1, seconds + 1):
        clock.now += 1
        heard = [machine.silent() for machine in asked]
        if heard[0] is not None:
            found.append((second, heard[0]))
    return found


def test_machines_that_beat_hear_one_another(hub: Machines, joined: Join, clock: Clock) -> None:
    others = [joined("key", rank) for rank in (2, 4)]
    assert list(hub.known) == [2, 4]
    assert turns(clock, hub, *others) == []
    assert turns(clock, others[0], hub, others[1]) == []


def test_one_that_freezes_is_named_by_rank_zeros_and_by_the_others(hub: Machines, joined: Join, clock: Clock) -> None:
    two, four = joined("key", 2), joined("key", 4)
    assert turns(clock, hub, two, seconds=30)[0] == (MACHINE_SILENCE_SECONDS + 1, 4)
    while select.select([four.known[0].line], [], [], 1.0)[0]:  # takes what was sent meanwhile
        four.silent()
    assert turns(clock, four, seconds=30)[0] == (MACHINE_SILENCE_SECONDS + 1, 0)


def test_one_whose_rank_has_ended_is_not_silent(hub: Machines, joined: Join, clock: Clock) -> None:
    other = joined("key", 2)
    other.known[0].line.close()
    assert turns(clock, hub) == [] and hub.known == {}


def test_one_that_was_suspended_itself_asks_again(hub: Machines, joined: Join, clock: Clock) -> None:
    joined("key", 2)
    clock.now += 3600
    assert hub.silent() is None
    assert turns(clock, hub, seconds=30)[0] == (MACHINE_SILENCE_SECONDS + 1, 2)


@pytest.mark.parametrize("key", ["", "kez", "key 3\x00", "kéy"])
def test_a_stranger_is_not_listened_to(hub: Machines, joined: Join, clock: Clock, key: str) -> None:
    joined(key, 2)
    assert hub.known == {}


def test_one_machine_needs_none(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.delattr(watcher, "_start_beside")
    watch_machines(Ranks(0, 2, 0, 2), tmp_path)
