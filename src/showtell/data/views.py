"""Stored views: augmentation for a frozen encoder at the speed of stored features.

A frozen encoder's answer to a changed picture can be stored like any other. So `features.views` answers are kept of
each training picture, the first to the picture as it is, and in each epoch a caption meets one that is drawn anew.
Which one is a pure function of (seed, epoch, caption row), as in `augmentation`, and so is each view of its number and
picture: all runs share the store, whatever their seeds. A mirror image is kept only of pictures none of whose captions
says left or right.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showtell.config import AugmentConfig
from showtell.data.augmentation import Augmentation, says_left_or_right
from showtell.data.batching import Rows
from showtell.data.caption_set import CaptionSet

SEED_OF_VIEWS = 0


def view_augmentation(config: AugmentConfig, captions: CaptionSet) -> Augmentation:
    """How the views of pictures are made; the rows of this augmentation are pictures."""
    sided = np.zeros(len(captions.picture_ids), dtype=np.bool_)
    sided[captions.picture_of[says_left_or_right(captions)]] = True
    return Augmentation(config, SEED_OF_VIEWS, sided)


class StoredViews:
    """Reads one of several stored answers per caption.

    Args:
        plain: `(P, ...)` answers to the pictures as they are.
        changed: `((V - 1) P, ...)` answers to changed ones, view by view.
        captions: N, how many captions there are.
        seed: of the run.
    """

    def __init__(self, plain: Tensor, changed: Tensor, captions: int, seed: int) -> None:
        self.plain = plain
        self.changed = changed
        self.captions = captions
        self.seed = seed
        self._epoch = -1
        self._views = np.zeros(0, dtype=np.int64)

    def __call__(self, pictures: NDArray[np.integer], rows: Rows, epoch: int) -> Tensor:
        """The answers for rows of pictures `(B,)` as rows of captions `(B,)` see them in an epoch."""
        views = self.views(epoch)[rows]
        features = self.plain.index_select(0, self._index(pictures))
        is_changed = views > 0
        places = (views - 1) * len(self.plain) + pictures
        features[self._index(is_changed.nonzero()[0])] = self.changed.index_select(0, self._index(places[is_changed]))
        return features

    def views(self, epoch: int) -> NDArray[np.int64]:
        """`(N,)` which view each caption sees in an epoch."""
        if epoch != self._epoch:
            # a counter that neither the order of an epoch nor the changes of a picture begin with
            generator = np.random.Generator(np.random.Philox(key=[self.seed, epoch], counter=[0, 0, 1, 0]))
            count = 1 + len(self.changed) // len(self.plain)
            self._epoch, self._views = epoch, generator.integers(count, size=self.captions)
        return self._views

    def _index(self, places: NDArray[np.integer]) -> Tensor:
        return torch.from_numpy(places.astype(np.int64, copy=False)).to(self.plain.device)
