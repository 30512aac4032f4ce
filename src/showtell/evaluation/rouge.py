"""ROUGE-L as coco-caption computes it: precision and recall of the longest common subsequence (Lin, 2004).

Precision and recall are each the best over the references, which need not be the same one. The subsequence
lengths of a candidate to all its references come from one pass of bit operations: each reference is a
stretch of bits in one integer, a spare bit between stretches takes the carry (Hyyro, "Bit-parallel LCS-
length computation revisited", 2004).
"""

from collections.abc import Sequence
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from showtell.evaluation.metric import Candidates, Metric, MetricScores, of_pictures
from showtell.evaluation.ngrams import Captions

BETA = 1.2


class RougeL(Metric):
    """ROUGE-L against fixed references."""

    names = MappingProxyType({"rouge_l": "ROUGE-L"})

    def score(self, candidates: Candidates) -> MetricScores:
        """The ROUGE-L of each picture, and their mean."""
        references, spans = _sentences(self.references.captions), pairwise(self.references.first.tolist())
        own = _sentences(candidates.captions)
        return of_pictures(
            "rouge_l", np.array([rouge_l(one, references[a:b]) for one, (a, b) in zip(own, spans, strict=True)])
        )


def _sentences(captions: Captions) -> list[list[int]]:
    words = captions.words.tolist()
    return [words[start:end] for start, end in pairwise(captions.starts.tolist())]


def common_subsequences(candidate: Sequence[int], references: Sequence[Sequence[int]]) -> list[int]:
    """The length of the longest common subsequence of the candidate with each reference."""
    places: dict[int, int] = {}
    stretches = []
    bit = 1
    for reference in references:
        start = bit
        for word in reference:
            places[word] = places.get(word, 0) | bit
            bit <<= 1
        stretches.append(bit - start)
        bit <<= 1
    everything = unmatched = sum(stretches)
    for word in candidate:
        if mask := places.get(word):
            hit = unmatched & mask
            unmatched = ((unmatched + hit) | (unmatched - hit)) & everything
    return [(stretch & ~unmatched).bit_count() for stretch in stretches]


def rouge_l(candidate: Sequence[int], references: Sequence[Sequence[int]]) -> float:
    """The ROUGE-L of one candidate; 0 for an empty one."""
    if not candidate:
        return 0.0
    lengths = common_subsequences(candidate, references)
    precision = max(lengths) / len(candidate)
    sizes = (max(len(reference), 1) for reference in references)
    recall = max(length / size for length, size in zip(lengths, sizes, strict=True))
    if not precision:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)
