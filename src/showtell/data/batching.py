"""Caption-length batching: every batch holds captions of one length, so nothing is padded and nothing wasted.

The plan of an epoch is a pure function of (seed, epoch): captions are shuffled within their length, cut into batches,
and the batches shuffled. Each caption is in exactly one batch. All of it is a handful of numpy calls per epoch; a
step takes a slice. Under several processes every rank computes the same plan and takes its share of each batch, so
that all ranks run the same number of steps on the same length.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from showtell.distributed import Ranks

Rows = NDArray[np.int64]


class LengthBatches:
    """The batches of every epoch over captions of given lengths.

    Args:
        rows: `(N,)` the captions, as row numbers.
        lengths: `(N,)` length of each of them.
        batch_size: captions per batch; the last batch of a length may be smaller.
        seed: decides the order together with the epoch.
    """

    def __init__(self, rows: Rows, lengths: NDArray[np.integer], batch_size: int, seed: int) -> None:
        by_length = np.argsort(lengths, kind="stable")
        cuts = np.flatnonzero(np.diff(lengths[by_length])) + 1
        self._groups = np.split(rows[by_length], cuts) if len(rows) else []
        self.batch_size = batch_size
        self.seed = seed

    def __len__(self) -> int:
        return sum(-(-len(group) // self.batch_size) for group in self._groups)

    def epoch(self, epoch: int) -> list[Rows]:
        """The row numbers of each batch, in the order of training."""
        random = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        batches = [batch for group in self._groups for batch in self._cut(random.permutation(group))]
        return [batches[i] for i in random.permutation(len(batches))]

    def in_order(self) -> list[Rows]:
        """The same batches unshuffled, shortest captions first: for validation."""
        return [batch for group in self._groups for batch in self._cut(group)]

    def _cut(self, group: Rows) -> list[Rows]:
        return [group[start : start + self.batch_size] for start in range(0, len(group), self.batch_size)]


def share_of(rows: Rows, ranks: Ranks) -> tuple[Rows, float]:
    """A rank's part of a training batch, and its weight among the ranks' mean losses.

    Rows go round in turn, so that shares differ by one row at most. With the weight `rows of this rank * ranks / rows
    of all` the mean over ranks is the mean over rows. A rank without a row takes one with weight 0, because it has to
    take part in the step.
    """
    own = rows[ranks.rank :: ranks.size]
    return (own, len(own) * ranks.size / len(rows)) if len(own) else (rows[:1], 0.0)


def dealt(plan: Sequence[Rows], ranks: Ranks) -> list[tuple[Rows, float]]:
    """A rank's part of a validation: whole batches in turn, so that each is computed as in a single process.

    All ranks get the same number: who goes short repeats another's batch with weight 0, the others have weight 1.
    """
    own = [(rows, 1.0) for rows in plan[ranks.rank :: ranks.size]]
    missing = -(-len(plan) // ranks.size) - len(own)
    return own + [(rows, 0.0) for rows in plan[:missing]]
