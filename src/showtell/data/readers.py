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
    """

    def __init__(
        self,
        plain: Tensor,
        changed: Tensor | None = None,
        *,
        dtype: FeatureDtype = FLOAT32,
        captions: int = 0,
        seed: int = 0,
    ) -> None:
        self.plain = plain
        self.changed = changed
        self.dtype = dtype
        self.captions = captions
        self.seed = seed
        self._epoch = -1
        self._views = np.zeros(0, dtype=np.int64)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`."""
        return self.dtype.feature_shape(tuple(self.plain.shape[1:]))

    def __call__(self, pictures: NDArray[np.integer], rows: Rows | None = None, epoch: int = 0) -> Tensor:
        """The features of rows of pictures `(B,)`, as rows of captions `(B,)` see them in an epoch."""
        features = self.plain.index_select(0, self._index(pictures))
        if self.changed is None or rows is None:
            return self.dtype.decode(features)
        views = self.views(epoch)[rows]
        is_changed = views > 0
        places = (views - 1) * len(self.plain) + pictures
        features[self._index(is_changed.nonzero()[0])] = self.changed.index_select(0, self._index(places[is_changed]))
        return self.dtype.decode(features)

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
