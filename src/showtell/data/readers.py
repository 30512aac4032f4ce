"""How the images of a batch are read: from stored features, or from picture files that are decoded now.

Both may change from epoch to epoch, for the caption that meets them. Files are changed when they are decoded. Of a
frozen encoder, the features of changed pictures can be stored like any others: so `features.views` of them are kept of
each training picture, the first of the picture as it is, and in each epoch a caption meets one that is drawn anew.
Which one is a pure function of (seed, epoch, caption row), as in `augmentation`, and so is each view of its number and
picture: all runs share the store, whatever their seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showtell.config import ImageTransform
from showtell.data.augmentation import Augmentation, Rows
from showtell.data.features.ahead import ReadAhead
from showtell.data.features.dtypes import FLOAT32, FeatureDtype
from showtell.data.images import load_picture, read_picture
from showtell.data.workers import note_done, note_reading


class ReadImages(Protocol):
    """How the images of a batch are read."""

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`; empty for pixels."""

    def __call__(self, pictures: NDArray[np.integer], rows: Rows | None = None, epoch: int = 0) -> Tensor:
        """The images `(B, ...)` of rows of pictures `(B,)`, as rows of captions `(B,)` see them in an epoch.

        Without captions pictures are as they are.
        """

    def announce(self, pictures: NDArray[np.integer], rows: Rows | None = None, epoch: int = 0) -> int:
        """Says which images are wanted soon, so that a disk reads them meanwhile; the bytes that it is asked for."""


@dataclass(frozen=True)
class PictureFiles:
    """Decodes picture files: `(B, 3, S, S)` normalized pixels, changed caption by caption with an `augmentation`."""

    paths: Sequence[Path]
    transform: ImageTransform
    augmentation: Augmentation | None = None
    feature_shape: tuple[int, ...] = ()

    def __call__(self, pictures: NDArray[np.integer], rows: Rows | None = None, epoch: int = 0) -> Tensor:
        """The pixels of rows of pictures `(B,)`, as rows of captions `(B,)` see them in an epoch."""
        captions = [None] * len(pictures) if rows is None else rows.tolist()
        pixels = [self._load(int(picture), row, epoch) for picture, row in zip(pictures, captions, strict=True)]
        note_done()
        return torch.stack(pixels)

    def announce(self, pictures: NDArray[np.integer], rows: Rows | None = None, epoch: int = 0) -> int:
        """Nothing: decoding takes longer than reading."""
        return 0

    def _load(self, picture: int, row: int | None, epoch: int) -> Tensor:
        path = self.paths[picture]
        note_reading(path)
        if row is None or self.augmentation is None:
            return load_picture(path, self.transform)
        return self.augmentation(read_picture(path), self.transform, epoch, row)


class CachedFeatures:
    """Reads stored features: `(B, D)` or `(B, R, D)`.

    Args:
        plain: `(P, ...)` features of the pictures as they are, as `dtype` writes them.
        changed: `((V - 1) P, ...)` features of changed ones, view by view.
        dtype: how they are written; by default they are floating-point numbers.
        captions: N, how many captions there are; only with `changed`.
        seed: of the run.
        ahead: how rows of `plain` and of `changed` are announced, where they lie on a disk.
    """

    def __init__(
        self,
        plain: Tensor,
        changed: Tensor | None = None,
        *,
        dtype: FeatureDtype = FLOAT32,
        captions: int = 0,
        seed: int = 0,
        ahead: Sequence[ReadAhead] = (),
    ) -> None:
        self.plain = plain
        self.changed = changed
        self.dtype = dtype
        self.captions = captions
        self.seed = seed
        self.ahead = ahead
        self._epoch = -1
        self._views = np.zeros(0, dtype=np.int64)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`."""
        return self.dtype.feature_shape(tuple(self.plain.shape[1:]))

    def __call__(self, pictures: NDArray[np.integer], rows: Rows | None = None, epoch: int = 0) -> Tensor:
        """The features of rows of pictures `(B,)`, as rows of captions `(B,)` see them in an epoch."""
        if self.changed is None or rows is None:
            return self.dtype.decode(self.plain.index_select(0, self._index(pictures)))
        features = self.plain.new_empty((len(pictures), *self.plain.shape[1:]))
        sources = zip((self.plain, self.changed), self._places(pictures, rows, epoch), strict=True)
        for source, (batch_places, places) in sources:
            features.index_copy_(0, self._index(batch_places), source.index_select(0, self._index(places)))
        return self.dtype.decode(features)

    def announce(self, pictures: NDArray[np.integer], rows: Rows | None = None, epoch: int = 0) -> int:
        """Says which features are wanted soon, so that a disk reads them meanwhile; the bytes that it is asked for."""
        wanted = self._places(pictures, rows, epoch) if self.ahead else []
        return sum(ahead(places) for ahead, (_, places) in zip(self.ahead, wanted, strict=False))

    def _places(
        self, pictures: NDArray[np.integer], rows: Rows | None, epoch: int
    ) -> list[tuple[NDArray[np.integer], NDArray[np.integer]]]:
        """What of a batch comes from `plain`, and what from `changed`: places in the batch, and there."""
        if self.changed is None or rows is None:
            return [(np.arange(len(pictures)), pictures)]
        views = self.views(epoch)[rows]
        plain, changed = np.flatnonzero(views == 0), np.flatnonzero(views)
        return [(plain, pictures[plain]), (changed, (views[changed] - 1) * len(self.plain) + pictures[changed])]

    def views(self, epoch: int) -> NDArray[np.int64]:
        """`(N,)` which view each caption sees in an epoch."""
        assert self.changed is not None
        if epoch != self._epoch:
            # a counter that neither the order of an epoch nor the changes of a picture begin with
            generator = np.random.Generator(np.random.Philox(key=[self.seed, epoch], counter=[0, 0, 1, 0]))
            count = 1 + len(self.changed) // len(self.plain)
            self._epoch, self._views = epoch, generator.integers(count, size=self.captions)
        return self._views

    def _index(self, places: NDArray[np.integer]) -> Tensor:
        return torch.from_numpy(places.astype(np.int64, copy=False)).to(self.plain.device)


@dataclass(frozen=True)
class SideBySide:
    """Stored features of several encoders as one: `(B, D1 + D2)` or `(B, R, D1 + D2)`."""

    parts: Sequence[ReadImages]

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """`(D1 + D2,)` or `(R, D1 + D2)`."""
        shapes = [part.feature_shape for part in self.parts]
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

    def __call__(self, pictures: NDArray[np.integer], rows: Rows | None = None, epoch: int = 0) -> Tensor:
        """The features of rows of pictures `(B,)`, as rows of captions `(B,)` see them in an epoch."""
        return torch.cat([part(pictures, rows, epoch) for part in self.parts], dim=-1)

    def announce(self, pictures: NDArray[np.integer], rows: Rows | None = None, epoch: int = 0) -> int:
        """Says which features are wanted soon, so that a disk reads them meanwhile; the bytes that it is asked for."""
        return sum(part.announce(pictures, rows, epoch) for part in self.parts)
