"""Pictures changed at random, the same way whenever, wherever and by whomever the same caption is loaded.

What happens to a picture is drawn from a counter-based generator (Philox, Salmon et al. 2011) whose key is (seed,
epoch) and whose counter begins with the caption's row. There is no state to keep: worker processes, a resumed run and
a run that nobody interrupted draw the same numbers. torchvision's random transforms draw from a generator that lives
as long as its process; and a picture meets each of its captions in another shape.

What may change is bounded by what captions say. Brightness, contrast and saturation, but not hue: "red" must stay
true. A crop, but a large one: what is cut away was perhaps mentioned. A mirror image makes "left" false, so it is off
unless asked for, and a caption that says left or right is left alone even then.

All that is computed with floats is computed element by element, and a mean is a sum of integers: a sum of floats
depends on the number of threads, which differs between a worker and the trainer.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showtell.config import AugmentConfig, ImageTransform
from showtell.data.caption_set import CaptionSet, CaptionTable
from showtell.data.images import normalized, one_after_the_other, resized

Rows = NDArray[np.int64]
SEED_OF_VIEWS = 0
LARGEST_STRETCH = 4 / 3
# of red, green and blue in brightness: ITU-R BT.601
LUMA = (0.299, 0.587, 0.114)


def draws(seed: int, epoch: int, row: int) -> NDArray[np.float64]:
    """`(8,)` numbers in [0, 1) for caption `row`; the order of an epoch uses row -1 of the same key."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, row + 1])).random(8)


def crop(picture: Tensor, smallest_area: float, random: Sequence[float]) -> Tensor:
    """A part of `(3, height, width)` with a random share of its area, proportions and place.

    Inception's crop (Szegedy et al. 2015, arXiv 1409.4842, section 6), but with proportions relative to the picture's
    own: an encoder sees the whole picture stretched to a square, so without a crop nothing changes.
    """
    area = smallest_area + (1 - smallest_area) * random[0]
    stretch = math.exp(math.log(LARGEST_STRETCH) * (2 * random[1] - 1) / 2)
    shares = min(1.0, math.sqrt(area) * stretch), min(1.0, math.sqrt(area) / stretch)
    for axis, share, place in zip((1, 2), shares, random[2:4], strict=True):
        kept = max(1, round(picture.shape[axis] * share))
        picture = picture.narrow(axis, int(place * (picture.shape[axis] - kept + 1)), kept)
    return picture


def jitter(picture: Tensor, strength: float, random: Sequence[float]) -> Tensor:
    """Random brightness, contrast and saturation of uint8 `(3, height, width)`, as float32 in [0, 255].

    Each is a blend of the picture with black, with its mean gray, and with its own gray version, by a factor that lies
    in [1 - strength, 1 + strength] (Krizhevsky 2013's colour jitter as torchvision has it).
    """
    brightness, contrast, saturation = (1 + strength * (2 * number - 1) for number in random)
    mean = picture.sum(dtype=torch.int64).item() / picture.numel()
    pixels = picture.float().mul_(contrast).add_(mean * (1 - contrast)).mul_(brightness).clamp_(0, 255)
    gray = pixels[0] * LUMA[0] + pixels[1] * LUMA[1] + pixels[2] * LUMA[2]
    return pixels.mul_(saturation).add_(gray.mul_(1 - saturation)).clamp_(0, 255)


@dataclass(frozen=True)
class Augmentation:
    """What happens to the picture of a caption in an epoch: a pure function of (seed, epoch, caption row).

    Attributes:
        config: how much may change.
        seed: of the run.
        sided: `(N,)` True for captions that say left or right, whose pictures are not mirrored.
    """

    config: AugmentConfig
    seed: int
    sided: NDArray[np.bool_]

    def identity(self) -> list[Any]:
        """Everything that its outcomes follow from, for a hash."""
        return [asdict(self.config), self.seed, np.packbits(self.sided).tobytes().hex()]

    def __call__(self, picture: Tensor, transform: ImageTransform, epoch: int, row: int) -> Tensor:
        """uint8 `(3, height, width)` to the encoder's input `(3, size, size)`; a pair sees the same change."""
        random = draws(self.seed, epoch, row).tolist()
        return changed(picture, transform, self.config, random, may_flip=not self.sided[row])


def changed(
    picture: Tensor, transform: ImageTransform, config: AugmentConfig, random: Sequence[float], *, may_flip: bool
) -> Tensor:
    """`prepare` for a picture that eight random numbers change."""
    if config.crop_area < 1:
        picture = crop(picture, config.crop_area, random[:4])
    mirrored = may_flip and config.flip and random[4] < 0.5
    small = [one.flip(2) if mirrored else one for one in (resized(picture, part) for part in transform.parts)]
    colours = [jitter(one, config.jitter, random[5:8]) if config.jitter else one for one in small]
    return one_after_the_other([normalized(one, part) for one, part in zip(colours, transform.parts, strict=True)])


def says_left_or_right(captions: CaptionTable) -> NDArray[np.bool_]:
    """`(N,)` True for captions with a word such as left, right, leftmost or right-hand."""
    sided = np.array([word.startswith(("left", "right")) for word in captions.words], dtype=np.int64)
    before = np.concatenate([[0], np.cumsum(sided[captions.word_numbers])])
    found: NDArray[np.bool_] = before[captions.starts[1:]] > before[captions.starts[:-1]]
    return found


def view_augmentation(config: AugmentConfig, captions: CaptionSet) -> Augmentation:
    """How stored views of pictures are made: its rows are pictures, its epochs views.

    A mirror image is kept only of pictures none of whose captions says left or right.
    """
    sided = np.zeros(len(captions.picture_ids), dtype=np.bool_)
    sided[captions.picture_of[says_left_or_right(captions)]] = True
    return Augmentation(config, SEED_OF_VIEWS, sided)
