"""BLEU-1 to BLEU-4 as the captioning field reports them.

Clipped n-gram precision over the whole corpus times a brevity penalty against the reference that is closest
in length, the shorter one on a tie (Papineni et al., 2002). coco-caption adds tiny constants so that a
precision of zero does not end the geometric mean; they are kept, for they decide the BLEU-4 of a single
caption without a matching 4-gram (about 1e-4, not 0).
"""

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from showtell.evaluation.metric import Candidates, Metric, MetricScores, References
from showtell.evaluation.ngrams import LOW, ORDERS, Captions, Counts, Ints, find, pack, spans
from showtell.evaluation.sums import Sums, bleu


class Bleu(Metric):
    """BLEU against fixed references."""

    names = MappingProxyType({f"bleu{order}": f"BLEU-{order}" for order in range(1, ORDERS + 1)})

    def __init__(self, references: References) -> None:
        self._first = references.first
        self._lengths = references.captions.lengths
        owners = references.owners
        self._most = [_most_in_one_reference(counts, owners) for counts in references.captions.orders]

    def score(self, candidates: Candidates) -> MetricScores:
        """BLEU-1 to BLEU-4 of the corpus, BLEU-4 of each picture."""
        counts = self.counts(candidates.captions)
        corpus = dict(zip(self.names, bleu(counts.sum(0)).tolist(), strict=True))
        return MetricScores(corpus, {"bleu4": bleu(counts)[:, 3]}, Sums(list(self.names), counts, bleu))

    def counts(self, candidates: Captions) -> NDArray[np.float64]:
        """`(P, 10)`: of orders 1 to 4 the n-grams that match, those there are; the length, the closest reference's."""
        matches = [self._matches(candidates, order) for order in range(1, ORDERS + 1)]
        guesses = np.maximum(candidates.lengths[:, None] - np.arange(ORDERS), 0)
        closest = self._closest_lengths(candidates.lengths)
        return np.column_stack([*matches, guesses, candidates.lengths, closest])

    def _matches(self, candidates: Captions, order: int) -> NDArray[np.float64]:
        counts = candidates.orders[order - 1]
        keys, most = self._most[order - 1]
        places, known = find(keys, counts.keys)
        clipped = np.minimum(counts.counts[known], most[places[known]])
        return np.asarray(np.bincount(counts.captions[known], clipped, len(candidates)), np.float64)

    def _closest_lengths(self, lengths: Ints) -> Ints:
        references = np.diff(self._first)
        theirs = self._lengths[spans(self._first[:-1], references)]
        distance = np.abs(theirs - np.repeat(lengths, references))
        return np.minimum.reduceat(pack(distance, theirs), self._first[:-1]) & LOW


def _most_in_one_reference(counts: Counts, pictures: Ints) -> tuple[Ints, NDArray[np.int32]]:
    """The sorted keys (picture, n-gram), and how often the reference that has the n-gram most has it."""
    keys = pack(pictures[counts.captions], counts.grams)
    order = np.argsort(keys, kind="stable")
    keys, starts = np.unique(keys[order], return_index=True)
    most = np.maximum.reduceat(counts.counts[order], starts) if len(starts) else counts.counts
    return keys, most
