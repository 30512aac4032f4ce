"""From caption rows to a training batch: one `pread` per picture or feature, captions from the indexes.

An item is named by its rows, as for data in memory, so a worker process can make it and the order does not depend on
the number of workers. A process keeps the indexes and file descriptors of the shards that it used last.
"""

import os
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from showtell.config import ImageTransform
from showtell.data.images import PictureError, decode_picture, prepare
from showtell.data.loading import Batch
from showtell.data.readers import Rows
from showtell.data.shards.index import ShardIndex, load_index, member_name
from showtell.data.shards.plan import ShardPlan
from showtell.data.shards.shard_set import ShardSet
from showtell.data.workers import note_done, note_reading
from showtell.text import END, Vocabulary

OPEN_SHARDS = 64
_DTYPES = {"<f2": torch.float16, "<f4": torch.float32}


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
        data = shard.read(index.features[sample], index.feature_header, sample)
        return torch.frombuffer(bytearray(data), dtype=_DTYPES[index.feature_dtype]).view(index.feature_shape)

    def _pixels(self, shard: _Open, sample: int) -> Tensor:
        note_reading(name := shard.name(sample))
        return prepare(decode_picture(shard.read(shard.index.pictures[sample], 0, sample), name), self.transform)

    def _shard(self, number: int) -> _Open:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        if len(self._open) >= OPEN_SHARDS:
            os.close(self._open.popitem(last=False)[1].descriptor)
        path, index = self.shards.paths[number], load_index(self.shards.files[number])
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise PictureError(f"{path}: cannot be opened ({error.strerror}); is the disk still there?") from None
        self._open[number] = _Open(path, index, index.tokens(self.vocabulary), descriptor)
        return self._open[number]
