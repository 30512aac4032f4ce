"""CIDEr-D: likeness in the n-grams that few pictures share (Vedantam et al., 2015).

Each caption is a vector of n-gram counts weighted by inverse document frequency, where a document is all
references of one picture. The similarity is a cosine with the candidate's weights clipped to the
reference's, lowered by a Gaussian of the length difference (sigma 6), averaged over references and over n =
1..4, times 10.

The name is a trap: what coco-caption, the evaluation server and the papers call CIDEr *is* this CIDEr-D.
The plain CIDEr of the paper (stems, no clipping, no length penalty) is hardly ever reported. As in
coco-caption, the length is counted in bigrams. A corpus of one picture has no rare n-grams: its CIDEr is 0.
"""

from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from showtell.evaluation.metric import Candidates, Metric, MetricScores, References, of_pictures
from showtell.evaluation.ngrams import LOW, ORDERS, Captions, Counts, Ints, find, pack, spans

SIGMA = 6.0
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Order:
    """The references' n-grams of one order: counts, rarity of each n-gram, norm of each caption."""

    rows: Counts
    rarity: Floats
    unknown_rarity: float
    norms: Floats


class CiderD(Metric):
    """CIDEr-D against fixed references."""

    names = MappingProxyType({"cider": "CIDEr"})

    def __init__(self, references: References) -> None:
        index, owners = references.index, references.owners
        self._first = references.first
        self._bigrams = _bigrams(index.captions)
        self._orders = [
            _order(rows, owners, index.size(order)) for order, rows in enumerate(index.captions.orders, start=1)
        ]

    def score(self, candidates: Candidates) -> MetricScores:
        """The CIDEr-D of one candidate per picture, and their mean, which is known under two names."""
        pictures = self.scores(candidates.captions, np.arange(len(candidates.captions)))
        found = of_pictures("cider", pictures)
        return replace(found, corpus={**found.corpus, "cider_d": found.corpus["cider"]})

    def scores(self, candidates: Captions, pictures: Ints) -> Floats:
        """The CIDEr-D of candidate `i` for picture `pictures[i]`; a picture may come several times."""
        references = self._first[pictures + 1] - self._first[pictures]
        candidate = np.repeat(np.arange(len(candidates)), references)
        reference = spans(self._first[pictures], references)
        similarity = np.zeros(len(candidate))
        for order, rows in zip(self._orders, candidates.orders, strict=True):
            similarity += _clipped_cosine(order, rows, candidate, reference)
        difference = _bigrams(candidates)[candidate] - self._bigrams[reference]
        similarity *= np.exp(-(difference**2) / (2 * SIGMA**2))
        return np.bincount(candidate, similarity, len(candidates)) / references * (10 / ORDERS)


def _bigrams(captions: Captions) -> Ints:
    return np.maximum(captions.lengths - 1, 0)


def _order(rows: Counts, pictures: Ints, size: int) -> _Order:
    documents = np.sort(pack(pictures[rows.captions], rows.grams))  # sorting is faster here than np.unique's hashing
    documents = documents[np.diff(documents, prepend=-1) > 0] & LOW
    log_pictures = float(np.log(pictures[-1] + 1))
    rarity = log_pictures - np.log(np.bincount(documents, minlength=size))
    return _Order(rows, rarity, log_pictures, _norms(rows, rows.counts * rarity[rows.grams]))


def _norms(rows: Counts, weights: Floats) -> Floats:
    return np.asarray(np.sqrt(np.bincount(rows.captions, weights**2, len(rows.starts) - 1)), np.float64)


def _candidate_weights(order: _Order, rows: Counts) -> Floats:
    grams = rows.grams
    known = grams < len(order.rarity)
    rarity = np.full(len(grams), order.unknown_rarity)
    rarity[known] = order.rarity[grams[known]]
    weights: Floats = rows.counts * rarity
    return weights


def _clipped_cosine(order: _Order, rows: Counts, candidate: Ints, reference: Ints) -> Floats:
    """The similarity of each pair (candidate, reference), by the n-grams of one order."""
    starts = order.rows.starts[reference]
    sizes = order.rows.starts[reference + 1] - starts
    theirs = spans(starts, sizes)
    pair = np.repeat(np.arange(len(reference)), sizes)
    grams = order.rows.keys[theirs] & LOW  # not `rows.grams`: the references may be millions, a batch needs few
    places, shared = find(rows.keys, pack(candidate[pair], grams))
    candidate_weights = _candidate_weights(order, rows)
    ours = candidate_weights[places[shared]]
    weights = order.rows.counts[theirs[shared]] * order.rarity[grams[shared]]
    products: Floats = np.asarray(
        np.bincount(pair[shared], np.minimum(ours, weights) * weights, len(reference)), np.float64
    )
    norms = _norms(rows, candidate_weights)[candidate] * order.norms[reference]
    cosines: Floats = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return cosines
