"""The order of an epoch over shards: everything once, equal steps and lengths on all ranks, bounded, repeatable."""

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from showtell.data.shards.batches import ShardPlan
from showtell.data.shards.members import ShardError


@dataclass
class Lengths:
    """Stands for the indexes of shards: only lengths are asked for."""

    shards: list[np.ndarray]

    def __post_init__(self) -> None:
        self.paths = [Path(str(number)) for number in range(len(self.shards))]
        self.first = np.cumsum([0, *(len(shard) for shard in self.shards)])
        self.all = np.concatenate(self.shards)
        self.length_counts = np.bincount(self.all)

    def usable_rows(self, shard: int) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(len(self.shards[shard])) + self.first[shard], self.shards[shard]

    def shard_of(self, rows: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.first, rows, side="right") - 1


def lengths(shards: int = 12, size: int = 200, seed: int = 0) -> Lengths:
    random = np.random.default_rng(seed)
    return Lengths([random.integers(1, 9, random.integers(size // 2, size)) for _ in range(shards)])


def plan(data: Lengths, *, batch_size: int = 16, buffer: int = 150, seed: int = 3, world: int = 1) -> ShardPlan:
    return ShardPlan(data, batch_size, buffer, seed, world)  # type: ignore[arg-type]


@pytest.mark.parametrize("world", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("buffer", [1, 150, 100_000])
def test_each_caption_once_in_batches_of_one_length(world: int, buffer: int) -> None:
    data = lengths()
    made = plan(data, buffer=buffer, world=world)
    batches = list(made.epoch(0))
    assert len(batches) == len(made)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(data.all)))
    assert all(len(set(data.all[rows].tolist())) == 1 and 0 < len(rows) <= 16 for rows in batches)


def test_small_batches_are_only_each_lengths_last() -> None:
    data = lengths()
    small = Counter(int(data.all[rows[0]]) for rows in plan(data).epoch(1) if len(rows) < 16)
    assert max(small.values()) == 1


def test_epochs_and_seeds_differ_and_repeat() -> None:
    def order(epoch: int, seed: int = 3) -> list[list[int]]:
        return [rows.tolist() for rows in plan(lengths(), seed=seed).epoch(epoch)]

    assert order(0) == order(0)
    assert order(0) != order(1)
    assert order(0) != order(0, seed=4)


@pytest.mark.parametrize("world", [2, 3, 5])
def test_ranks_share_lengths_and_read_shards_of_their_own(world: int) -> None:
    data = lengths(shards=15, size=2000)
    batches = list(plan(data, world=world, batch_size=16).epoch(0))
    whole = batches[: len(batches) // 2]
    owners: dict[int, set[int]] = {}
    for rows in whole:
        shares = [rows[rank::world] for rank in range(world)]
        assert sorted(map(len, shares), reverse=True) == [len(range(rank, 16, world)) for rank in range(world)]
        for rank, share in enumerate(shares):
            for shard in set(data.shard_of(share).tolist()):
                owners.setdefault(shard, set()).add(rank)
    assert all(len(ranks) == 1 for ranks in owners.values())
    assert {rank for ranks in owners.values() for rank in ranks} == set(range(world))


def test_a_position_is_reached_by_skipping() -> None:
    data = lengths()
    whole = [rows.tolist() for rows in plan(data).epoch(2)]
    for cut in (0, 1, 40, len(whole) - 1, len(whole)):
        assert [rows.tolist() for rows in islice(plan(data).epoch(2), cut, None)] == whole[cut:]


def test_captions_of_a_shard_are_spread_but_not_further_than_the_buffer() -> None:
    data = Lengths([np.full(1000, 5) for _ in range(20)])
    made = plan(data, buffer=1500, batch_size=10)
    order = np.concatenate(list(made.epoch(0)))[:15_000]
    shard_at = {shard: np.flatnonzero(data.shard_of(order) == shard) for shard in range(20)}
    spans = [int(np.ptp(places)) for places in shard_at.values() if len(places) == 1000]
    assert len(spans) > 5
    assert all(1500 < span <= 1000 + 1500 + 10 for span in spans)


@pytest.mark.parametrize("world", [1, 4])
def test_buffered_captions_do_not_grow_with_the_number_of_shards(world: int) -> None:
    peaks = []
    for shards in (40, 400):
        made = plan(lengths(shards, 100), buffer=500, world=world)
        assert sum(1 for _ in made.epoch(0)) == len(made)
        peaks.append(made.peak)
    random_walk = 0 if world == 1 else 150  # ranks wait for each other's lengths, which differ like the root of steps
    assert peaks[1] <= 1.1 * peaks[0] + random_walk
    assert peaks[1] < 500 + 100 + 8 * 16 + random_walk


def test_a_rank_without_a_shard_is_one_line() -> None:
    with pytest.raises(ShardError, match=r"2 shard\(s\) for 3 processes") as refused:
        plan(lengths(shards=2), world=3)
    assert "\n" not in str(refused.value)
    with pytest.raises(ShardError, match=r"training.batch_size=2 is less than the 3 processes"):
        plan(lengths(), world=3, batch_size=2)


def test_shards_without_captions_are_no_trouble() -> None:
    data = Lengths([np.full(0, 1), np.full(5, 3), np.full(0, 1), np.full(20, 3)])
    for world in (1, 2, 4):
        rows = np.concatenate(list(plan(data, world=world).epoch(0)))
        assert sorted(rows.tolist()) == list(range(25))
