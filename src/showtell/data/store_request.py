"""What a feature store is asked for, and the hash of everything its numbers follow from."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from showtell.config import ImageTransform
from showtell.data.augmentation import Augmentation
from showtell.data.files import stamp
from showtell.data.images import load_picture, read_picture


@dataclass(frozen=True)
class StoreRequest:
    """What is to be stored: pictures, in order, and what decides their features.

    `encoder` is the encoder's fingerprint: weights, pooling, precision. With an `augmentation`, row `v * P + p` of the
    store is view `v` of picture `p` of P.
    """

    name: str
    paths: Sequence[str | Path]
    encoder: str
    transform: ImageTransform
    dtype: str
    augmentation: Augmentation | None = None
    views: int = 1

    @property
    def rows(self) -> int:
        """How many answers are stored."""
        return len(self.paths) * self.views

    def path(self, row: int) -> str | Path:
        """The picture of a row."""
        return self.paths[row % len(self.paths)]

    def load(self, row: int) -> Tensor:
        """The pixels `(3, S, S)` that the encoder sees for a row.

        Raises:
            PictureError: it cannot be read.
        """
        if self.augmentation is None:
            return load_picture(self.path(row), self.transform)
        view, picture = divmod(row, len(self.paths))
        return self.augmentation(read_picture(self.path(row)), self.transform, view, picture)

    def key(self) -> str:
        """The hash that names the store. Costs one `stat` per picture and opens none."""
        facts: list[Any] = [self.encoder, asdict(self.transform), self.dtype]
        if self.augmentation is not None:
            facts += [self.views, self.augmentation.identity()]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for path in self.paths:
            digest.update(f"{path}\0{stamp(path)}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]
