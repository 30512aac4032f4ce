"""Pictures on their way through the frozen encoder: decoded in worker processes, encoded in batches, ready to store."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from showtell.config import ImageTransform
from showtell.data.features.dtypes import DTYPES
from showtell.data.images import PictureError, normalized
from showtell.data.workers import note_done, watched


class PictureEncoder(Protocol):
    """The frozen encoder at work: pixels `(B, 3, S, S)` to features `(B, *feature_shape)`."""

    feature_shape: tuple[int, ...]

    def __call__(self, pixels: Tensor, /) -> Tensor:
        """The features of normalized pixels."""
        ...


def encoded(
    load: Callable[[int], Tensor],
    transform: ImageTransform,
    rows: Sequence[int] | NDArray[np.int64],
    encoder: PictureEncoder,
    dtype: str,
    batch_size: int,
    num_workers: int,
) -> Iterator[tuple[list[int], NDArray[Any], dict[int, str]]]:
    """Encodes pictures in the order of their rows.

    `load` gives the pixels `(3, S, S)` of a row, float32, or uint8 that `transform` has yet to normalize: so a worker
    process hands on a quarter. It notes what it reads, and may raise a `PictureError`.

    Yields:
        For each batch the rows that could be read, their features as `features.dtype` writes them, and the others
        with the reasons.

    Raises:
        StoreError: an answer of the encoder that cannot be stored.
    """
    dataset = _Decoding(load, rows)
    # one worker process per core would fight with the encoder for the cores; small jobs need none
    workers = min(num_workers, len(rows) // (4 * batch_size))
    if workers == 0:
        batches: Iterator[Any] = iter(DataLoader(dataset, batch_size, collate_fn=_collate))
    else:
        batches = watched(dataset, batch_size=batch_size, num_workers=workers, collate_fn=_collate)
    for readable, pixels, reasons in batches:
        pixels = normalized(pixels, transform) if pixels.dtype == torch.uint8 else pixels
        yield readable, DTYPES[dtype].encode(encoder(pixels)) if readable else np.empty(0), reasons


def _collate(items: list[tuple[int, Tensor | str]]) -> tuple[list[int], Tensor, dict[int, str]]:
    pixels = {row: found for row, found in items if isinstance(found, Tensor)}
    reasons = {row: found for row, found in items if isinstance(found, str)}
    return list(pixels), torch.stack(list(pixels.values())) if pixels else torch.empty(0), reasons


@dataclass(frozen=True)
class _Decoding(Dataset[tuple[int, "Tensor | str"]]):
    """Decodes one picture; the reason where it cannot be read."""

    load: Callable[[int], Tensor]
    rows: Sequence[int] | NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[int, Tensor | str]:
        row = int(self.rows[place])
        try:
            return row, self.load(row)
        except PictureError as error:
            return row, str(error)
        finally:
            note_done()
