"""The order of an epoch over shards, and what makes a batch of caption rows of one length.

An epoch is arithmetic on the shards' indexes and reads no sample. Shards are shuffled anew and dealt to the ranks, each
of which reads its own, one after the other. A rank's stream is shuffled by letting every caption wait for a random time
of up to `buffer` captions; those whose time has come queue up by length. As soon as every rank has its share of a batch
of one length, that step is planned. What is left when the shards run out is pooled and cut into the last batches.

So each caption comes exactly once per epoch, and the number of steps is the sum over lengths of ceil(captions / batch
size), for every seed, epoch and number of ranks: schedules and progress bars know it in advance. A batch is one array
whose entries `rank::world` are the share of a rank, as for data in memory. A resume plans the epoch up to its position
again, at some millions of captions a second.

A batch takes one `pread` per picture or feature. A process keeps the indexes and file descriptors of the shards that it
used last.
"""

import os
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from showtell.config import ImageTransform
from showtell.data.augmentation import Rows
from showtell.data.images import PictureError, decode_picture, prepare
from showtell.data.loading import Batch, cut, length_groups
from showtell.data.shards.index import ShardIndex, member_name
from showtell.data.shards.members import ShardError
from showtell.data.shards.shard_set import ShardSet
from showtell.data.workers import note_done, note_reading
from showtell.text import END, Vocabulary

OPEN_SHARDS = 64
_CAPTION = np.dtype([("row", np.int64), ("length", np.int64), ("turn", np.float64)])


class ShardPlan:
    """The batches of every epoch over shards.

    `batch_size` counts the captions of all ranks of a step, `buffer` those among which a rank shuffles.

    Raises:
        ShardError: a rank would have no shard, or no caption in a batch.
    """

    def __init__(self, shards: ShardSet, batch_size: int, buffer: int, seed: int, world: int = 1) -> None:
        if len(shards.paths) < world:
            raise ShardError(
                f"{len(shards.paths)} shard(s) for {world} processes: each reads shards of its own; use fewer "
                "processes, or write more and smaller shards"
            )
        if batch_size < world:
            raise ShardError(f"training.batch_size={batch_size} is less than the {world} processes; make it larger")
        self.shards = shards
        self.batch_size = batch_size
        self.buffer = buffer
        self.seed = seed
        self.world = world
        self.peak = 0

    def __len__(self) -> int:
        return int((-(-self.shards.length_counts // self.batch_size)).sum())

    def epoch(self, epoch: int) -> Iterator[Rows]:
        """The caption rows of each step; those of rank r are `rows[r::world]`."""
        random = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        order = random.permutation(len(self.shards.paths))
        even = len(order) // self.world * self.world
        streams = [_Stream(self.buffer) for _ in range(self.world)]
        for dealt in order[:even].reshape(-1, self.world):
            # the largest shard to the rank that has read least, so that none gets far ahead of the others
            read = sorted((self.shards.usable_rows(int(shard)) for shard in dealt), key=lambda part: -len(part[0]))
            for stream, part in zip(sorted(streams, key=lambda stream: stream.position), read, strict=True):
                stream.read(*part, random)
            self._watch(streams)
            yield from self._full_steps(streams)
        yield from self._last_steps(streams, order[even:], random)

    def _full_steps(self, streams: list["_Stream"]) -> Iterator[Rows]:
        """The steps for which every rank has its share, in the order in which they became ready."""
        shares = [len(range(rank, self.batch_size, self.world)) for rank in range(self.world)]
        most = 1 + max(int(stream.ready["length"].max(initial=0)) for stream in streams)
        counts = np.array([np.bincount(stream.ready["length"], minlength=most) for stream in streams])
        steps = (counts // np.array(shares)[:, None]).min(axis=0)
        rows = np.empty((int(steps.sum()), self.batch_size), dtype=np.int64)
        turns = np.zeros(len(rows))
        for rank, (stream, share) in enumerate(zip(streams, shares, strict=True)):
            taken = stream.take(steps * share).reshape(-1, share)
            rows[:, rank :: self.world] = taken["row"]
            np.maximum(turns, taken["turn"].max(axis=1, initial=0), out=turns)
        yield from rows[np.argsort(turns, kind="stable")]

    def _last_steps(
        self, streams: list["_Stream"], shards: NDArray[np.int64], random: np.random.Generator
    ) -> Iterator[Rows]:
        unread = [_captions(*self.shards.usable_rows(int(shard))) for shard in shards]
        rest = np.concatenate([part for stream in streams for part in (stream.ready, stream.waiting)] + unread)
        mixed = rest[random.permutation(len(rest))]
        groups = length_groups(mixed["row"], mixed["length"])
        batches = [batch for group in groups for batch in cut(group, self.batch_size)]
        yield from (batches[i] for i in random.permutation(len(batches)))

    def _watch(self, streams: list["_Stream"]) -> None:
        self.peak = max(self.peak, max(len(stream.waiting) + len(stream.ready) for stream in streams))


class _Stream:
    """One rank's captions: some wait for their random turn, some are ready for a batch."""

    def __init__(self, buffer: int) -> None:
        self.buffer = buffer
        self.position = 0
        self.waiting = np.empty(0, dtype=_CAPTION)
        self.ready = np.empty(0, dtype=_CAPTION)

    def read(self, rows: Rows, lengths: NDArray[np.int64], random: np.random.Generator) -> None:
        """Lets the captions of a shard wait, and makes those ready that no later caption can overtake."""
        turns = self.position + np.arange(len(rows)) + random.uniform(0, self.buffer, len(rows))
        self.position += len(rows)
        captions = np.concatenate([self.waiting, _captions(rows, lengths, turns)])
        is_ready = captions["turn"] < self.position
        self.waiting, ready = captions[~is_ready], captions[is_ready]
        self.ready = np.concatenate([self.ready, ready[np.argsort(ready["turn"], kind="stable")]])

    def take(self, wanted: NDArray[np.int64]) -> NDArray[Any]:
        """Removes the first `wanted[n]` ready captions of each length n, and gives them by length."""
        by_length = np.argsort(self.ready["length"], kind="stable")
        counts = np.bincount(self.ready["length"], minlength=len(wanted))
        place = np.arange(len(by_length)) - np.repeat(np.cumsum(counts) - counts, counts)
        is_taken = place < np.repeat(wanted, counts)
        taken = self.ready[by_length[is_taken]]
        self.ready = self.ready[np.sort(by_length[~is_taken])]
        return taken


def _captions(rows: Rows, lengths: NDArray[np.int64], turns: NDArray[np.float64] | float = 0.0) -> NDArray[Any]:
    captions = np.empty(len(rows), dtype=_CAPTION)
    captions["row"], captions["length"], captions["turn"] = rows, lengths, turns
    return captions


@dataclass(frozen=True)
class ShardSplit:
    """A training split in shards, with what `CaptionData` asks of one."""

    shards: ShardSet
    transform: ImageTransform
    buffer: int

    @property
    def counts(self) -> Counter[str]:
        """How often each word occurs."""
        return self.shards.counts

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`; empty for pictures."""
        return self.shards.feature_shape

    @property
    def references(self) -> None:
        """The captions as they were written are not kept: there may be too many of them."""
        return None

    def training_batches(
        self, vocabulary: Vocabulary, batch_size: int, seed: int, world: int = 1
    ) -> tuple[Dataset[Batch], ShardPlan]:
        """What makes a batch of caption rows, and the rows of each batch."""
        plan = ShardPlan(self.shards, batch_size, self.buffer, seed, world)
        return ShardBatches(self.shards, vocabulary, self.transform), plan


@dataclass
class _Open:
    """A shard in use: its index, its captions as tokens, its file."""

    path: Path
    index: ShardIndex
    tokens: NDArray[np.int32]
    descriptor: int

    def read(self, extent: NDArray[np.int64], skip: int, sample: int) -> bytes:
        offset, size = int(extent[0]) + skip, int(extent[1]) - skip
        try:
            data = os.pread(self.descriptor, size, offset)
        except OSError as error:
            raise PictureError(f"{self.name(sample)}: cannot be read ({error.strerror})") from None
        if len(data) < size:
            raise PictureError(f"{self.name(sample)}: the shard has changed since it was indexed; start again")
        return data

    def name(self, sample: int) -> str:
        return member_name(self.path, self.index.keys[sample])


@dataclass
class ShardBatches(Dataset[Batch]):
    """Makes a batch of caption rows of one length."""

    shards: ShardSet
    vocabulary: Vocabulary
    transform: ImageTransform
    epoch: int = 0
    _open: "OrderedDict[int, _Open]" = field(default_factory=OrderedDict)  # least recently used first

    def __getitem__(self, rows: Rows) -> Batch:
        numbers = np.searchsorted(self.shards.first_caption, rows, side="right") - 1
        places = (rows - self.shards.first_caption[numbers]).tolist()
        captions, images, samples = [], [], []
        for number, place in zip(numbers.tolist(), places, strict=True):
            shard = self._shard(number)  # read at once: the next one may close it
            start, end = shard.index.starts[place : place + 2]
            sample = int(shard.index.picture_of[place])
            captions.append(shard.tokens[start:end])
            images.append(self._image(shard, sample))
            samples.append(sample)
        note_done()
        tokens = np.full((len(rows), len(captions[0]) + 1), END, dtype=np.int64)
        tokens[:, :-1] = captions
        return {
            "images": torch.stack(images),
            "captions": torch.from_numpy(tokens),
            "picture_ids": torch.from_numpy(self.shards.first_sample[numbers] + np.array(samples)),
        }

    def _image(self, shard: _Open, sample: int) -> Tensor:
        return self._features(shard, sample) if self.shards.what == "features" else self._pixels(shard, sample)

    def _features(self, shard: _Open, sample: int) -> Tensor:
        index = shard.index
        return index.decoded(shard.read(index.features[sample], index.feature_header, sample))

    def _pixels(self, shard: _Open, sample: int) -> Tensor:
        note_reading(name := shard.name(sample))
        return prepare(decode_picture(shard.read(shard.index.pictures[sample], 0, sample), name), self.transform)

    def _shard(self, number: int) -> _Open:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        if len(self._open) >= OPEN_SHARDS:
            os.close(self._open.popitem(last=False)[1].descriptor)
        path, index = self.shards.paths[number], self.shards.index(number)
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise PictureError(f"{path}: cannot be opened ({error.strerror}); is the disk still there?") from None
        self._open[number] = _Open(path, index, index.tokens(self.vocabulary), descriptor)
        return self._open[number]
