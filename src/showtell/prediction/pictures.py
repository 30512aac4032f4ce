"""What a caller wants captioned, one picture or many, in a file or in memory, as encoder input."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from torch import Tensor

from showtell.config import ImageTransform
from showtell.data.images import PictureError, PictureLike, pixels_of, prepare
from showtell.data.workers import note_reading


def as_list(pictures: PictureLike | Iterable[PictureLike]) -> list[PictureLike]:
    """One picture as a list of one; an array `(B, H, W, 3)` as B pictures."""
    return [cast(PictureLike, pictures)] if _is_one(pictures) else list(cast(Iterable[PictureLike], pictures))


def _is_one(pictures: object) -> bool:
    """Whether this is a picture, or at least no collection of them."""
    if isinstance(pictures, np.ndarray | Tensor):
        return pictures.ndim < 4
    return isinstance(pictures, str | bytes | bytearray | memoryview) or not isinstance(pictures, Iterable)


class Pictures:
    """Decodes pictures where the loader's workers can do it; each once, whatever the number of transforms."""

    def __init__(self, pictures: Sequence[PictureLike], transforms: Sequence[ImageTransform]) -> None:
        self.pictures = pictures
        self.names = [
            Path(picture) if isinstance(picture, str | Path) else Path(f"picture {number}")
            for number, picture in enumerate(pictures, start=1)
        ]
        self.transforms = transforms

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, i: int) -> tuple[int, list[Tensor] | None, str | None]:
        note_reading(self.names[i])
        try:
            picture = pixels_of(self.pictures[i], str(self.names[i]))
        except PictureError as error:
            return i, None, str(error)
        return i, [prepare(picture, transform) for transform in self.transforms], None
