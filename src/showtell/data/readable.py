"""Which pictures can be read, for runs that decode them in every step.

Every picture is decoded once ahead of training and the answer is kept, so that a broken file costs a line at the
start and not a crash in the third epoch. The bookkeeping is the feature store's, with one meaningless number per
picture.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showtell.config import ImageTransform
from showtell.data.feature_store import open_or_build
from showtell.data.store_request import StoreRequest


class _Nothing:
    feature_shape: tuple[int, ...] = (1,)

    def __call__(self, pixels: Tensor, /) -> Tensor:
        """Nothing, for each picture that could be decoded."""
        return torch.zeros(len(pixels), 1)


def unreadable_pictures(
    name: str, paths: Sequence[Path], transform: ImageTransform, cache: Path, num_workers: int
) -> NDArray[np.bool_]:
    """`(P,)` True for each picture that cannot be decoded."""
    request = StoreRequest(f"{name}-readable", paths, "none", transform, "float16")
    store: Any = open_or_build(cache / "features", request, _Nothing, batch_size=32, num_workers=num_workers)
    unreadable: NDArray[np.bool_] = store.unreadable
    return unreadable
