"""CIDEr-D: how alike a caption and its references are in the n-grams that few pictures share (Vedantam et al., 2015).

Each caption is a vector of n-gram counts weighted by inverse document frequency, where a document is all references of one
picture. The similarity is a cosine with the candidate's weights clipped to the reference's, lowered by a Gaussian of the length
difference (sigma 6), averaged over references and over n = 1..4, times 10.

The name is a trap: what coco-caption, the evaluation server and the papers call CIDEr *is* this CIDEr-D. The plain CIDEr of the
paper (stems, no clipping, no length penalty) is nowhere reported. As in coco-caption, the length is counted in bigrams.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from showtell.evaluation.ngrams import ORDERS, Captions, Counts, Ints, NgramIndex, find, pack, spans

SIGMA = 6.0
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Order:
    """The references' n-grams of one order: rarity of each n-gram, weight of each row, norm of each caption."""

    rarity: Floats
    unknown_rarity: float
    rows: Counts
    weights: Floats
    norms: Floats


class CiderD:
    """CIDEr-D against fixed references: those of picture `p` are captions `first[p]` to `first[p + 1] - 1`."""

    def __init__(self, index: NgramIndex, first: Ints) -> None:
        self._first = first
        self._bigrams = _bigrams(index.captions)
        pictures = np.repeat(np.arange(len(first) - 1), np.diff(first))
        self._orders = [
            _weigh(rows, pictures, index.size(order)) for order, rows in enumerate(index.captions.orders, start=1)
        ]

    def score(self, candidates: Captions, pictures: Ints) -> Floats:
        """The CIDEr-D of candidate `i` for picture `pictures[i]` (candidates); a picture may come several times."""
        references = self._first[pictures + 1] - self._first[pictures]
        candidate = np.repeat(np.arange(len(candidates)), references)
        reference = spans(self._first[pictures], references)
        similarity = sum(
            _clipped_cosine(order, rows, candidate, reference)
            for order, rows in zip(self._orders, candidates.orders, strict=True)
        )
        difference = _bigrams(candidates)[candidate] - self._bigrams[reference]
        similarity = similarity * np.exp(-(difference**2) / (2 * SIGMA**2))
        return np.bincount(candidate, similarity, len(candidates)) / references * (10 / ORDERS)


def _bigrams(captions: Captions) -> Ints:
    return np.maximum(captions.lengths - 1, 0)


def _weigh(rows: Counts, pictures: Ints, size: int) -> _Order:
    documents = np.unique(pack(pictures[rows.captions], rows.grams)) & 0xFFFFFFFF
    log_pictures = float(np.log(pictures[-1] + 1))
    rarity = log_pictures - np.log(np.bincount(documents, minlength=size))
    weights = rows.counts * rarity[rows.grams]
    return _Order(rarity, log_pictures, rows, weights, _norms(rows, weights))


def _norms(rows: Counts, weights: Floats) -> Floats:
    return np.sqrt(np.bincount(rows.captions, weights**2, len(rows.starts) - 1))


def _clipped_cosine(order: _Order, rows: Counts, candidate: Ints, reference: Ints) -> Floats:
    """The similarity of each pair (candidate, reference), by the n-grams of one order."""
    grams = rows.grams
    known = grams < len(order.rarity)
    rarity = np.full(len(grams), order.unknown_rarity)
    rarity[known] = order.rarity[grams[known]]
    weights = rows.counts * rarity
    sizes = order.rows.starts[reference + 1] - order.rows.starts[reference]
    theirs = spans(order.rows.starts[reference], sizes)
    pair = np.repeat(np.arange(len(reference)), sizes)
    places, shared = find(rows.keys, pack(candidate[pair], order.rows.grams[theirs]))
    ours, theirs, pair = weights[places[shared]], order.weights[theirs[shared]], pair[shared]
    products = np.bincount(pair, np.minimum(ours, theirs) * theirs, len(reference))
    norms = _norms(rows, weights)[candidate] * order.norms[reference]
    return np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
