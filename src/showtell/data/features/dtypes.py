"""How features are written down: as float32, float16 or bfloat16, or as int8 with a scale per vector.

A stored feature is an array of one type, whatever the way, so files, memory maps, GPUs and shards need to know no more
than its shape: numpy lacks bfloat16, whose bits are kept as int16; in int8 the four bytes of a vector's float32 scale
follow its numbers. What each of them costs stands in docs/scaling.md.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showtell.errors import UserError


class StoreError(UserError):
    """Features that cannot be stored; one line with the remedy."""


@dataclass(frozen=True)
class FeatureDtype:
    """Numbers as they are. A feature is `(D,)` or regions `(R, D)`.

    Attributes:
        name: as `features.dtype` has it.
        file: numpy's type of the file.
        tail: entries of the file that follow each vector.
    """

    name: str
    file: str
    tail: int = 0

    def stored_shape(self, feature_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a feature in the file."""
        return (*feature_shape[:-1], feature_shape[-1] + self.tail)

    def feature_shape(self, stored_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what a shape in the file stands for."""
        return (*stored_shape[:-1], stored_shape[-1] - self.tail)

    def num_bytes(self, feature_shape: tuple[int, ...]) -> int:
        """How large a feature is in the file."""
        return int(np.prod(self.stored_shape(feature_shape))) * np.dtype(self.file).itemsize

    def encode(self, answer: Tensor) -> NDArray[Any]:
        """What an encoder says about B pictures, `(B, *feature_shape)`, as it is written.

        Raises:
            StoreError: numbers that the type cannot hold.
        """
        return self._rounded(answer).numpy()

    def decode(self, rows: Tensor) -> Tensor:
        """Rows of the file `(B, *stored_shape)` as floating-point numbers `(B, *feature_shape)`, where they lie."""
        return rows

    def _rounded(self, answer: Tensor) -> Tensor:
        stored = answer.to("cpu", dtype=getattr(torch, self.name))
        if not torch.isfinite(stored).all():
            what = f"is too large for {self.name}" if torch.isfinite(answer).all() else "is not finite"
            raise StoreError(
                f"what the encoder says about a picture {what}; use features.dtype=float32 or other weights"
            )
        return stored


class _Bfloat16(FeatureDtype):
    def encode(self, answer: Tensor) -> NDArray[Any]:
        return self._rounded(answer).view(torch.int16).numpy()

    def decode(self, rows: Tensor) -> Tensor:
        return rows.view(torch.bfloat16)


class _Int8(FeatureDtype):
    """Symmetric, -127 to 127. A scale per vector: with one per picture, a loud region would round the quiet ones."""

    def encode(self, answer: Tensor) -> NDArray[Any]:
        exact = FLOAT32._rounded(answer)
        scale = exact.abs().amax(dim=-1, keepdim=True) / 127
        # a vector of zeros has a scale of 0 and stays one
        numbers = (exact / scale.clamp(min=torch.finfo(torch.float32).tiny)).round().clamp(-127, 127).to(torch.int8)
        return torch.cat([numbers, scale.view(torch.int8)], dim=-1).numpy()

    def decode(self, rows: Tensor) -> Tensor:
        scale = rows[..., -self.tail :].contiguous().view(torch.float32)
        return rows[..., : -self.tail] * scale


FLOAT32 = FeatureDtype("float32", "<f4")
FLOAT16 = FeatureDtype("float16", "<f2")
DTYPES = {one.name: one for one in (FLOAT16, FLOAT32, _Bfloat16("bfloat16", "<i2"), _Int8("int8", "|i1", tail=4))}


def dtype_of_array(file: str, told: object) -> FeatureDtype | None:
    """The way that an array of numpy's type `file` was written; integers mean something only where it is told."""
    ways = [one for one in DTYPES.values() if one.file == file]
    return next((one for one in ways if one.name == told or one.file.startswith("<f")), None)
