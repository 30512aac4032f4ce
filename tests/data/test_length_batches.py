"""Caption-length batching: one length per batch, every caption once, a new order each epoch."""

import numpy as np
import pytest

from showtell.data.loading import LengthBatches, rank_share, split_batches
from showtell.distributed import Ranks

LENGTHS = np.random.default_rng(0).integers(3, 9, size=203)
ROWS = np.arange(1000, 1203)


def batches(seed: int = 1) -> LengthBatches:
    return LengthBatches(ROWS, LENGTHS, batch_size=10, seed=seed)


def test_a_batch_has_one_length() -> None:
    for rows in batches().epoch(0):
        assert len(set(LENGTHS[rows - 1000])) == 1
        assert len(rows) <= 10


@pytest.mark.parametrize("epoch", [0, 1, 17])
def test_every_caption_is_seen_exactly_once(epoch: int) -> None:
    assert sorted(np.concatenate(batches().epoch(epoch))) == ROWS.tolist()
    assert len(batches().epoch(epoch)) == len(batches())


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(batches(seed).epoch(epoch)).tolist()

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)


def test_lengths_are_mixed_over_the_epoch() -> None:
    seen = [int(LENGTHS[rows[0] - 1000]) for rows in batches().epoch(0)]
    assert seen != sorted(seen)


def test_number_of_batches_is_the_rounded_up_count_of_each_length() -> None:
    counts = np.bincount(LENGTHS)
    assert len(batches()) == sum(-(-count // 10) for count in counts.tolist())


def test_nothing_gives_nothing() -> None:
    assert LengthBatches(np.empty(0, np.int64), np.empty(0, np.int64), 5, 0).epoch(0) == []


@pytest.mark.parametrize("size", [2, 3, 8, 11])
@pytest.mark.parametrize("epoch", [0, 5])
def test_ranks_share_every_batch(size: int, epoch: int) -> None:
    plan = batches().epoch(epoch)
    shares = [[rank_share(rows, Ranks(rank, size)) for rows in plan] for rank in range(size)]
    assert len({len(own) for own in shares}) == 1  # as many steps on all
    for rows, *parts in zip(plan, *shares, strict=True):
        counted = [own for own, weight in parts if weight]
        assert sorted(np.concatenate(counted)) == sorted(rows)  # each caption once
        assert len({LENGTHS[own[0] - 1000] for own, _ in parts}) == 1  # one length on all, nobody without a row
        assert max(map(len, counted)) - min(map(len, counted)) <= 1
        for own, weight in parts:
            assert weight == pytest.approx(len(own) * size / len(rows) if weight else 0)
        assert sum(weight for _, weight in parts) == pytest.approx(size)


def test_the_weights_make_the_mean_over_ranks_the_mean_over_rows() -> None:
    values = np.random.default_rng(1).random(2000)
    for rows in batches().epoch(2):
        for size in (2, 3, 16):
            parts = [rank_share(rows, Ranks(rank, size)) for rank in range(size)]
            mean = np.mean([weight * values[own].mean() for own, weight in parts])
            assert mean == pytest.approx(values[rows].mean(), abs=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 40])
def test_validation_deals_whole_batches(size: int) -> None:
    plan = batches().in_order()
    dealings = [split_batches(plan, Ranks(rank, size)) for rank in range(size)]
    assert len({len(own) for own in dealings}) == 1
    counted = [tuple(rows) for own in dealings for rows, weight in own if weight == 1]
    assert sorted(counted) == sorted(tuple(rows) for rows in plan)
    assert split_batches([], Ranks(0, size)) == []
