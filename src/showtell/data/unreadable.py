"""Which pictures cannot be decoded, for runs that decode them in every step: asked once, kept as a store."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showtell.config import ImageTransform
from showtell.data.caption_set import CaptionSet
from showtell.data.features.request import StoreRequest
from showtell.data.features.store import open_or_build


class _Nothing:
    feature_shape: tuple[int, ...] = (1,)

    def __call__(self, pixels: Tensor, /) -> Tensor:
        return torch.zeros(len(pixels), 1)


def unreadable_pictures(
    name: str,
    captions: CaptionSet,
    transform: ImageTransform,
    cache: Path,
    num_workers: int,
    pictures: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """`(P,)` True for each picture that cannot be decoded, for runs that decode them in every step.

    Every picture, or each of those that are needed, is decoded once ahead of training, so that a broken file costs a
    line at the start and not a crash in the third epoch. The answer is kept as a store of one meaningless number per
    picture.
    """
    paths, stamps, contents = captions.path_names, captions.stamps, captions.contents
    request = StoreRequest(f"{name}-readable", paths, "none", transform, "float16", stamps=stamps, contents=contents)
    store = open_or_build(cache / "features", request, _Nothing, 32, num_workers, pictures)
    return store.unreadable
