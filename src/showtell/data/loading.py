"""From row numbers to batches, and the position in an epoch that a checkpoint keeps.

The order of an epoch is a pure function of (seed, epoch), so a position is two numbers: the epoch, and how many of
its batches the trainer has finished. They are counted where a step ends, not where a batch is loaded, because loading
runs ahead; and not by Lightning's `set_epoch`, which does not reach a batch sampler and comes too late with workers.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from showtell.config import ImageTransform
from showtell.data.augmentation import ReadChanged
from showtell.data.batching import Rows, dealt, share_of
from showtell.data.images import load_picture
from showtell.data.workers import note_done, note_reading, watched
from showtell.distributed import Ranks
from showtell.vocabulary import END

Batch = dict[str, Any]


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


@dataclass(frozen=True)
class CaptionRows:
    """The tokens of a split under one vocabulary, gathered without per-caption Python.

    Attributes:
        tokens: `(sum of lengths,)` int32.
        starts: `(N,)` int64, where each caption begins.
        lengths: `(N,)` int64, words without `<end>`.
        picture_of: `(N,)` int32.
        picture_ids: `(P,)` int64.
    """

    tokens: NDArray[np.int32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    picture_of: NDArray[np.int32]
    picture_ids: NDArray[np.int64]

    def captions(self, rows: Rows) -> Tensor:
        """`(B, T)` int64 tokens of rows of one length, `<end>` last."""
        length = self.lengths[rows[0]]
        captions = np.full((len(rows), length + 1), END, dtype=np.int64)
        captions[:, :-1] = self.tokens[self.starts[rows, None] + np.arange(length)]
        return torch.from_numpy(captions)


class StoredImages:
    """Reads the encoder's stored answers: `(B, D)` or `(B, R, D)`."""

    def __init__(self, features: Tensor) -> None:
        self.features = features

    def __call__(self, pictures: NDArray[np.integer]) -> Tensor:
        """The answers for rows of pictures `(B,)`."""
        index = torch.from_numpy(pictures.astype(np.int64, copy=False)).to(self.features.device)
        return self.features.index_select(0, index)


class DecodedImages:
    """Decodes picture files: `(B, 3, S, S)` normalized pixels."""

    def __init__(self, paths: Sequence[Path], transform: ImageTransform) -> None:
        self.paths = paths
        self.transform = transform

    def __call__(self, pictures: NDArray[np.integer]) -> Tensor:
        """The pixels for rows of pictures `(B,)`."""
        pixels = [self._load(self.paths[int(row)]) for row in pictures]
        note_done()
        return torch.stack(pixels)

    def _load(self, path: Path) -> Tensor:
        note_reading(path)
        return load_picture(path, self.transform)


ReadImages = Callable[[NDArray[Any]], Tensor]


@dataclass(frozen=True)
class CaptionBatches(Dataset[Batch]):
    """Makes a batch of caption rows: an item is named by its rows, so that a worker process can make it too.

    With `augmented` the pictures are changed at random, by the rows and the `epoch`.
    """

    rows: CaptionRows
    read_images: ReadImages
    augmented: ReadChanged | None = None
    epoch: int = 0

    def __getitem__(self, rows: Rows) -> Batch:
        pictures = self.rows.picture_of[rows]
        augmented = self.augmented
        return {
            "images": augmented(pictures, rows, self.epoch) if augmented else self.read_images(pictures),
            "captions": self.rows.captions(rows),
            "picture_ids": torch.from_numpy(self.rows.picture_ids[pictures]),
        }


@dataclass(frozen=True)
class PictureBatches(Dataset[Batch]):
    """Makes a batch of pictures without captions."""

    picture_ids: NDArray[np.int64]
    read_images: ReadImages

    def __getitem__(self, pictures: Rows) -> Batch:
        return {
            "images": self.read_images(pictures),
            "picture_ids": torch.from_numpy(self.picture_ids[pictures]),
        }


class Plan(Protocol):
    """The batches of every epoch: a fixed number of them, in an order that follows from the epoch."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int) -> Iterable[Rows]:
        """The caption rows of each batch, in the order of training."""


def load_in_order(dataset: Dataset[Batch], plan: Iterable[Rows], num_workers: int) -> Iterator[Batch]:
    """The batches of a plan. With workers, whole batches are made in other processes, in the same order."""
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
        shares = ((*share_of(rows, self.ranks), len(rows)) for rows in plan)
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
        shares = ((rows, weight, len(rows)) for rows, weight in dealt(self.plan, self.ranks))
        return load_shares(self.dataset, shares, self.num_workers)
