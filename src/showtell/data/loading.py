"""From caption rows to batches of one length, and the position in an epoch that a checkpoint keeps.

Every batch holds captions of one length, so nothing is padded and nothing wasted. The order of an epoch is a pure
function of (seed, epoch): captions are shuffled within their length, cut into batches, and the batches shuffled. Each
caption is in exactly one batch. All of it is a handful of numpy calls per epoch; a step takes a slice. Under several
processes every rank computes the same order and takes its share of each batch, so that all ranks run the same number
of steps on the same length.

So a position is two numbers: the epoch, and how many of its batches the trainer has finished. They are counted where a
step ends, not where a batch is loaded, because loading runs ahead; and not by Lightning's `set_epoch`, which does not
reach a batch sampler and comes too late with workers.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from showtell.data.augmentation import Rows
from showtell.data.caption_set import CaptionSet
from showtell.data.readers import ReadImages
from showtell.data.workers import watched
from showtell.distributed import Ranks

Batch = dict[str, Any]
AHEAD_BYTES = 128 << 20
"""Of features on a disk, how much is on its way while a batch is trained on: enough to keep a fast disk busy."""


@dataclass
class Position:
    """Where training stands in its data: `batch` batches of epoch `epoch` are done."""

    epoch: int = 0
    batch: int = 0

    def advance(self, batches_per_epoch: int) -> None:
        """One more batch is done; an epoch's end and the next one's beginning are the same position."""
        self.batch += 1
        if self.batch >= batches_per_epoch:
            self.epoch, self.batch = self.epoch + 1, 0


def length_groups(rows: Rows, lengths: NDArray[np.integer]) -> list[Rows]:
    """Rows `(N,)` with their lengths `(N,)`, grouped by length; within a group they keep their order."""
    by_length = np.argsort(lengths, kind="stable")
    cuts = np.flatnonzero(np.diff(lengths[by_length])) + 1
    return np.split(rows[by_length], cuts) if len(rows) else []


def cut(rows: Rows, size: int) -> list[Rows]:
    """Parts of so many rows; the last may have fewer."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


class LengthBatches:
    """The batches of every epoch over captions, rows `(N,)` with lengths `(N,)`.

    The last batch of a length may be smaller than `batch_size`. The seed decides the order together with the epoch.
    """

    def __init__(self, rows: Rows, lengths: NDArray[np.integer], batch_size: int, seed: int) -> None:
        self._groups = length_groups(rows, lengths)
        self.batch_size = batch_size
        self.seed = seed

    def __len__(self) -> int:
        return sum(-(-len(group) // self.batch_size) for group in self._groups)

    def epoch(self, epoch: int) -> list[Rows]:
        """The row numbers of each batch, in the order of training."""
        random = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        batches = [batch for group in self._groups for batch in cut(random.permutation(group), self.batch_size)]
        return [batches[i] for i in random.permutation(len(batches))]

    def in_order(self) -> list[Rows]:
        """The same batches unshuffled, shortest captions first: for validation."""
        return [batch for group in self._groups for batch in cut(group, self.batch_size)]


@dataclass(frozen=True)
class CaptionBatches(Dataset[Batch]):
    """Makes a batch of caption rows: an item is named by its rows, so that a worker process can make it too.

    Attributes:
        captions: of the split.
        tokens: their words as tokens of the vocabulary.
        images: how they are read, which may depend on the rows and the `epoch`.
    """

    captions: CaptionSet
    tokens: NDArray[np.int32]
    images: ReadImages
    epoch: int = 0

    def __getitem__(self, rows: Rows) -> Batch:
        pictures = self.captions.picture_of[rows]
        return {
            "images": self.images(pictures, rows, self.epoch),
            "captions": torch.from_numpy(self.captions.batch(self.tokens, rows)),
            "picture_ids": torch.from_numpy(self.captions.picture_ids[pictures]),
        }

    def announce(self, rows: Rows) -> int:
        """Says that these rows are wanted soon; the bytes that a disk is asked for."""
        return self.images.announce(self.captions.picture_of[rows], rows, self.epoch)


@dataclass(frozen=True)
class PictureBatches(Dataset[Batch]):
    """Makes a batch of pictures without captions."""

    picture_ids: NDArray[np.int64]
    images: ReadImages

    def __getitem__(self, pictures: Rows) -> Batch:
        return {"images": self.images(pictures), "picture_ids": torch.from_numpy(self.picture_ids[pictures])}

    def announce(self, pictures: Rows) -> int:
        """Says that these pictures are wanted soon; the bytes that a disk is asked for."""
        return self.images.announce(pictures)


class Plan(Protocol):
    """The batches of every epoch: a fixed number of them, in an order that follows from the epoch."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int) -> Iterable[Rows]:
        """The caption rows of each batch, in the order of training."""


def announced(plan: Iterable[Rows], announce: Callable[[Rows], int]) -> Iterator[Rows]:
    """The same plan; before a batch of it is read, those behind it are announced, some `AHEAD_BYTES` of them."""
    waiting: deque[tuple[Rows, int]] = deque()
    ahead = 0
    for rows in plan:
        size = announce(rows)
        waiting.append((rows, size))
        ahead += size
        while waiting and (not size or ahead - waiting[0][1] >= AHEAD_BYTES):
            ahead -= waiting[0][1]
            yield waiting.popleft()[0]
    yield from (rows for rows, _ in waiting)


def load_in_order(dataset: Dataset[Batch], plan: Iterable[Rows], num_workers: int) -> Iterator[Batch]:
    """The batches of a plan. With workers, whole batches are made in other processes, in the same order."""
    if isinstance(dataset, CaptionBatches | PictureBatches):
        plan = announced(plan, dataset.announce)
    if num_workers == 0:
        return (dataset[rows] for rows in plan)
    generator = torch.Generator().manual_seed(0)  # keeps the loader's draws off the global random state
    return watched(dataset, batch_size=None, sampler=plan, num_workers=num_workers, generator=generator)


def load_shares(
    dataset: Dataset[Batch], shares: Iterable[tuple[Rows, float, int]], num_workers: int
) -> Iterator[Batch]:
    """A rank's batches from its rows of each, its weight, and the number of all rows: the last two are added."""
    loading: deque[tuple[float, int]] = deque()  # loading runs ahead

    def rows() -> Iterator[Rows]:
        for own, weight, size in shares:
            loading.append((weight, size))
            yield own

    for batch in load_in_order(dataset, rows(), num_workers):
        weight, size = loading.popleft()
        yield {**batch, "weight": weight, "captions_on_all_ranks": size}


@dataclass
class TrainLoader:
    """The training batches from a position on; every `iter` starts where the position stands.

    Under several processes a rank loads its share of each batch.
    """

    dataset: Any  # a dataclass with `epoch`: CaptionBatches or ShardBatches
    batches: Plan
    num_workers: int
    position: Position = field(default_factory=Position)
    limit: int = 0
    overfit: bool = False
    ranks: Ranks = field(default_factory=Ranks)

    def __len__(self) -> int:
        return min(self.limit, len(self.batches)) if self.limit else len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        if self.position.batch >= len(self):
            self.position.epoch, self.position.batch = self.position.epoch + 1, 0
        epoch = 0 if self.overfit else self.position.epoch
        dataset = replace(self.dataset, epoch=epoch)
        plan = islice(self.batches.epoch(epoch), self.position.batch, len(self))
        if self.ranks.size == 1:
            return load_in_order(dataset, plan, self.num_workers)
        shares = ((*rank_share(rows, self.ranks), len(rows)) for rows in plan)
        return load_shares(dataset, shares, self.num_workers)


@dataclass
class FixedLoader:
    """The same batches in the same order every time, for validation; under several processes they take turns."""

    dataset: Dataset[Batch]
    plan: Sequence[Rows]
    num_workers: int
    ranks: Ranks = field(default_factory=Ranks)

    def __len__(self) -> int:
        return -(-len(self.plan) // self.ranks.size)

    def __iter__(self) -> Iterator[Batch]:
        if self.ranks.size == 1:
            return load_in_order(self.dataset, self.plan, self.num_workers)
        shares = ((rows, weight, len(rows)) for rows, weight in split_batches(self.plan, self.ranks))
        return load_shares(self.dataset, shares, self.num_workers)


def rank_share(rows: Rows, ranks: Ranks) -> tuple[Rows, float]:
    """A rank's part of a training batch, and its weight among the ranks' mean losses.

    Rows go round in turn, so that shares differ by one row at most. With the weight `rows of this rank * ranks / rows
    of all` the mean over ranks is the mean over rows. A rank without a row takes one with weight 0, because it has to
    take part in the step.
    """
    own = rows[ranks.rank :: ranks.size]
    return (own, len(own) * ranks.size / len(rows)) if len(own) else (rows[:1], 0.0)


def split_batches(plan: Sequence[Rows], ranks: Ranks) -> list[tuple[Rows, float]]:
    """A rank's part of a validation: whole batches in turn, so that each is computed as in a single process.

    All ranks get the same number: who goes short repeats another's batch with weight 0, the others have weight 1.
    """
    own = [(rows, 1.0) for rows in plan[ranks.rank :: ranks.size]]
    missing = -(-len(plan) // ranks.size) - len(own)
    return own + [(rows, 0.0) for rows in plan[:missing]]
