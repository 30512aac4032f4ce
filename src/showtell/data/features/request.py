"""What is to be stored: which pictures, and everything that decides their features."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from showtell.config import Config, ImageTransform
from showtell.data.annotations import SplitName
from showtell.data.augmentation import Augmentation
from showtell.data.caption_set import CaptionSet
from showtell.data.contents import Contents
from showtell.data.features.dtypes import DTYPES
from showtell.data.images import read_picture, unnormalized
from showtell.data.paths import stamp
from showtell.data.workers import note_reading
from showtell.files import short_hash


def store_label(data: str, split: str, encoder: str) -> str:
    """How a store's folder begins: for people."""
    return f"{data}-{split}-{encoder.replace('/', '-')}"


def split_request(
    config: Config, split: SplitName, captions: CaptionSet, encoder: str, fingerprint: str, transform: ImageTransform
) -> "StoreRequest":
    """What a run stores of the pictures of a split, as they are, for one encoder.

    Args:
        config: of the run.
        split: which one.
        captions: its captions, which name the pictures.
        encoder: the encoder's name.
        fingerprint: tells its features from others.
        transform: what is made of each picture before it is encoded.
    """
    label = store_label(config.data.name, split, encoder)
    dtype = config.features.dtype
    return StoreRequest(
        label, captions.path_names, fingerprint, transform, dtype, stamps=captions.stamps, contents=captions.contents
    )


@dataclass(frozen=True)
class StoreRequest:
    """What is to be stored: pictures, in order, and what decides their features.

    `encoder` is the encoder's fingerprint: weights, pooling, precision. With an `augmentation`, row `v * P + p` of the
    store is view `v` of picture `p` of P. `stamps` are the pictures', where somebody has asked already; with their
    `contents` a picture that was replaced is noticed whatever its stamp says.
    """

    name: str
    paths: Sequence[str | Path]
    encoder: str
    transform: ImageTransform
    dtype: str
    augmentation: Augmentation | None = None
    views: int = 1
    stamps: Sequence[str] | None = None
    contents: Contents | None = None

    @property
    def rows(self) -> int:
        """How many answers are stored."""
        return len(self.paths) * self.views

    def rows_of(self, pictures: NDArray[np.int64] | None) -> NDArray[np.int64]:
        """The rows of all views of these pictures; None: of all."""
        if pictures is None:
            return np.arange(self.rows)
        return (np.arange(self.views)[:, None] * len(self.paths) + pictures).ravel()

    def contents_of(self, rows: NDArray[np.int64]) -> NDArray[np.uint32]:
        """The checksums of the pictures of these rows, as files; zeros where contents are not asked for."""
        pictures = rows % len(self.paths)
        if self.contents is None or not len(rows):
            return np.zeros(len(rows), np.uint32)
        return self.contents.of(np.unique(pictures))[pictures]

    def directory(self, root: Path) -> Path:
        """The store's folder among all stores."""
        return root / f"{self.name}-{self.key()}"

    def num_bytes(self, feature_shape: tuple[int, ...]) -> int:
        """How large the features are on the disk."""
        return self.rows * DTYPES[self.dtype].num_bytes(feature_shape)

    def load(self, row: int) -> Tensor:
        """The pixels `(3, S, S)` that the encoder sees for a row; uint8 where they are yet to be normalized.

        Raises:
            PictureError: it cannot be read.
        """
        view, picture = divmod(row, len(self.paths))
        path = self.paths[picture]
        note_reading(path)
        if self.augmentation is None:
            return unnormalized(read_picture(path), self.transform)
        return self.augmentation(read_picture(path), self.transform, view, picture)

    def key(self) -> str:
        """The hash that names the store, found once.

        Opens no picture; asks each for its stamp where `stamps` does not say them.
        """
        return self._key

    @cached_property
    def _key(self) -> str:
        facts: list[Any] = [self.encoder, self.transform.facts(), self.dtype]
        if self.augmentation is not None:
            facts += [self.views, self.augmentation.identity()]
        stamps = map(stamp, self.paths) if self.stamps is None else self.stamps
        told = (f"{path}\0{found}\n" for path, found in zip(self.paths, stamps, strict=True))
        return short_hash([json.dumps(facts, sort_keys=True), *told])
