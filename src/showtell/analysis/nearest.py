"""The nearest of many pictures to each of some, by the cosine of their average-pooled features.

Products of float32 matrices in blocks: 5,000 x 80,000 similarities are never in memory at once, and of the stored
features, which may be far larger than memory, one block at a time.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]
KEYS, QUERIES = 4096, 1024
"""How many pictures are compared at a time."""


class Features(Protocol):
    """Features of K pictures, of which a slice is read when it is asked for: an array, a memory map, a store."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> NDArray[Any]: ...


def pooled(features: NDArray[np.floating]) -> Singles:
    """`(N, D)` of length 1, of features `(N, D)` or `(N, R, D)` of regions; zeros stay zeros."""
    vectors = np.asarray(features, np.float32)
    vectors = vectors.mean(1) if vectors.ndim == 3 else vectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


def nearest(
    queries: Singles,
    keys: Features,
    usable: NDArray[np.bool_] | None = None,
    own: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], Singles]:
    """The row of the nearest key of each query, and the cosine of the two.

    Args:
        queries: `(Q, D)` as `pooled` makes them.
        keys: `(K, D)` or `(K, R, D)`.
        usable: `(K,)` keys that count; None: all.
        own: `(Q,)` a key that does not count for the query, because it is the same picture; -1: none.
    """
    rows = np.full(len(queries), -1, np.int64)
    best = np.full(len(queries), -np.inf, np.float32)
    for first in range(0, len(keys), KEYS):
        block = pooled(keys[first : first + KEYS])
        for start in range(0, len(queries), QUERIES):
            part = slice(start, start + QUERIES)
            cosines = queries[part] @ block.T
            if usable is not None:
                cosines[:, ~usable[first : first + KEYS]] = -np.inf
            if own is not None:
                mine = own[part] - first
                inside = np.flatnonzero((mine >= 0) & (mine < len(block)))
                cosines[inside, mine[inside]] = -np.inf
            found = cosines.argmax(1)
            values = cosines[np.arange(len(found)), found]
            closer = values > best[part]
            rows[part][closer], best[part][closer] = found[closer] + first, values[closer]
    return rows, best
