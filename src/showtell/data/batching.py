"""Caption-length batching: every batch holds captions of one length, so nothing is padded and nothing wasted.

The plan of an epoch is a pure function of (seed, epoch): captions are shuffled within their length, cut into batches,
and the batches shuffled. Each caption is in exactly one batch. All of it is a handful of numpy calls per epoch; a
step takes a slice. Under several processes every rank computes the same plan and takes its share of each batch, so
that all ranks run the same number of steps on the same length.
"""

import numpy as np
from numpy.typing import NDArray

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
