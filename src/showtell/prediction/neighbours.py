"""The nearest training picture of each captioned one, by what the run's encoder says of both.

The training pictures' features are those that the run stored; those of the captioned pictures are seen while these are
captioned. Nothing is encoded for it.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showtell.analysis.material import Neighbours
from showtell.analysis.nearest import Singles, nearest, pooled
from showtell.config import Config
from showtell.data.caption_set import CaptionSet
from showtell.data.features.request import split_request
from showtell.data.features.store import FeatureStore, is_complete
from showtell.data.paths import telling_names
from showtell.errors import UserError
from showtell.models.encoders.encoding import FrozenEncoder
from showtell.prediction.captioner import Captioner, PictureCaptioner
from showtell.prediction.ensemble import Ensemble


def member(captioner: PictureCaptioner) -> Captioner:
    """Whose features are compared: of an ensemble, the first one's."""
    found = captioner.members[0] if isinstance(captioner, Ensemble) else captioner
    assert isinstance(found, Captioner)
    return found


def watch(captioner: PictureCaptioner) -> list[Singles]:
    """A list that gets the pooled features of each batch of pictures that is captioned from now on."""
    seen: list[Singles] = []

    def see(features: Tensor) -> None:
        seen.append(pooled(features.float().cpu().numpy()))

    member(captioner).watcher = see
    return seen


def neighbours(
    config: Config, captions: CaptionSet, features: NDArray[np.float32], paths: Sequence[Path]
) -> Neighbours | str:
    """The nearest training pictures, or why they cannot be had.

    Args:
        config: of the run.
        captions: of its training split.
        features: `(P, D)` of the captioned pictures, as `pooled`.
        paths: of these; a picture is not its own neighbour.
    """
    stored = _stored(config, captions)
    if isinstance(stored, str):
        return f"nearest training pictures left out: {stored}"
    rows = {os.path.abspath(path): row for row, path in enumerate(captions.path_names)}
    own = np.array([rows.get(os.path.abspath(path), -1) for path in paths], np.int64)
    found, cosines = nearest(features, stored, stored.usable, own)
    near, names = [captions.paths[row] for row in found.tolist()], telling_names(captions.paths)
    ids = captions.picture_ids.tolist()
    return Neighbours(
        similarity=cosines.astype(np.float64),
        names=[names[row] for row in found.tolist()],
        captions=[captions.references[ids[row]] for row in found.tolist()],
        paths=near,
    )


class _Stored:
    """What the encoders of a run said of its training pictures, side by side, as floating-point numbers."""

    def __init__(self, stores: Sequence[FeatureStore]) -> None:
        self._stores = stores
        self.usable = ~np.logical_or.reduce([store.unreadable for store in stores])

    def __len__(self) -> int:
        return len(self.usable)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        parts = [store.dtype.decode(torch.from_numpy(store.features[rows])).float() for store in self._stores]
        return torch.cat(parts, dim=-1).numpy()


def _stored(config: Config, captions: CaptionSet) -> _Stored | str:
    """The stored features of the training pictures, or why there are none."""
    if config.features.mode != "store":
        return "the run stores no features (features=off)"
    stores = []
    for part in FrozenEncoder(config).parts:
        try:
            transform = part.weights.transform
            request = split_request(config, "train", captions, part.config.name, part.fingerprint, transform)
        except UserError as error:
            return str(error)
        directory = request.directory(Path(config.cache) / "features")
        if not is_complete(directory, request):
            return f"{directory} is not there or not complete, or damaged; training the run anew stores it"
        stores.append(FeatureStore(directory))
    return _Stored(stores)
