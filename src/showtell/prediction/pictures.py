"""What a caller wants captioned, one picture or many, in a file or in memory, as input of encoders.

A captioner may average over several looks at a picture: as it is, and changed as training pictures are. A change
follows from its number, a seed and the picture's content alone, so neither order, batch nor file name matters.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from torch import Tensor

from showtell.config import AugmentConfig, ConfigError, ImageTransform
from showtell.data.augmentation import changed, draws
from showtell.data.images import PictureError, PictureLike, pixels_of, placed, prepare
from showtell.data.workers import note_reading


def as_list(pictures: PictureLike | Iterable[PictureLike]) -> list[PictureLike]:
    """One picture as a list of one; an array `(B, H, W, 3)` as B pictures."""
    return [cast(PictureLike, pictures)] if _is_one(pictures) else list(cast(Iterable[PictureLike], pictures))


def _is_one(pictures: object) -> bool:
    """Whether this is a picture, or at least no collection of them."""
    if isinstance(pictures, np.ndarray | Tensor):
        return pictures.ndim < 4
    return isinstance(pictures, str | bytes | bytearray | memoryview) or not isinstance(pictures, Iterable)


USUAL_CHANGE = AugmentConfig(crop_area=0.7, jitter=0.2)
"""How much views differ where training changed no pictures."""


@dataclass(frozen=True)
class Look:
    """Makes encoder input of an RGB picture, as it is or, with a `change`, the changed view of a number above 0."""

    transform: ImageTransform
    change: AugmentConfig | None = None
    number: int = 0
    seed: int = 0

    def __call__(self, picture: Tensor) -> Tensor:
        """uint8 `(3, height, width)` to `(3, size, size)`."""
        if self.change is None:
            return prepare(picture, self.transform)
        content = zlib.crc32(picture.permute(1, 2, 0).contiguous().numpy().data)
        random = draws(self.seed % 2**63, self.number, content).tolist()
        return changed(picture, self.transform, self.change, random, may_flip=True)


def looks_at(transform: ImageTransform, augment: AugmentConfig, views: int, seed: int) -> list[Look]:
    """A picture as it is, and `views - 1` times changed as much as in training.

    Raises:
        ConfigError: no view is wanted.
    """
    if views < 1:
        raise ConfigError(f"views={views} is out of range; it must be at least 1")
    change = augment if augment.active else USUAL_CHANGE
    return [Look(transform), *(Look(transform, change, number, seed) for number in range(1, views))]


def view_of(width: int, height: int, transform: ImageTransform) -> tuple[float, float, float, float]:
    """What of a picture of this size the encoder sees: left, top, width and height in shares of the picture's."""
    if transform.fit == "stretch":
        return 0.0, 0.0, 1.0, 1.0
    (wide, high), (left, top) = placed(width, height, transform)
    return left / wide, top / high, transform.size / wide, transform.size / high


class Pictures:
    """Decodes pictures where the loader's workers can do it; each once, however often it is looked at."""

    def __init__(self, pictures: Sequence[PictureLike], looks: Sequence[Look]) -> None:
        self.pictures = pictures
        self.names = [
            Path(picture) if isinstance(picture, str | Path) else Path(f"picture {number}")
            for number, picture in enumerate(pictures, start=1)
        ]
        self.looks = looks

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, i: int) -> tuple[int, list[Tensor] | None, str | None]:
        note_reading(self.names[i])
        try:
            picture = pixels_of(self.pictures[i], str(self.names[i]))
        except PictureError as error:
            return i, None, str(error)
        return i, [look(picture) for look in self.looks], None
