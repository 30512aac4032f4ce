"""Caption-length batching: one length per batch, every caption once, a new order each epoch."""

import numpy as np
import pytest

from showtell.data.batching import LengthBatches

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
