"""Scores of groups of pictures: the pictures are put in order of a number and cut into bins of about one size."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.analysis.material import Floats, Ints, Material
from showtell.evaluation.resampling import Interval, samples
from showtell.evaluation.sums import Sums

SCORES = {"cider": "CIDEr", "bleu4": "BLEU-4"}
MOST_BINS, LEAST_PICTURES = 6, 10


@dataclass(frozen=True)
class Bin:
    """Pictures whose number lies from `low` to `high`: their places, and what their captions score."""

    low: float
    high: float
    pictures: Ints
    scores: Mapping[str, Interval]

    @property
    def label(self) -> str:
        """`8 to 9`, `0.812 to 0.840`."""
        whole = self.low.is_integer() and self.high.is_integer()
        low, high = (f"{value:,.0f}" if whole else f"{value:.3f}" for value in (self.low, self.high))
        return low if low == high else f"{low} to {high}"


@dataclass(frozen=True)
class Binned:
    """Scores by one number of the pictures.

    Attributes:
        name: of the number.
        unit: what it counts.
        bins: in its order.
        left_out: pictures that have no such number.
    """

    name: str
    unit: str
    bins: Sequence[Bin]
    left_out: int = 0


@dataclass(frozen=True)
class Numbers:
    """A number of each picture, `(P,)`, NaN where it has none; what it is, and what it counts."""

    name: str
    unit: str
    values: Floats


def binned(numbers: Numbers, sums: Sequence[Sums]) -> Binned:
    """Scores by a number of the pictures."""
    known = np.flatnonzero(~np.isnan(numbers.values))
    bins = [_bin(numbers.values, known[some], sums) for some in cut(numbers.values[known])] if len(known) else []
    return Binned(numbers.name, numbers.unit, bins, len(numbers.values) - len(known))


def _bin(values: NDArray[Any], places: Ints, sums: Sequence[Sums]) -> Bin:
    drawn = samples([[replace(one, pictures=one.pictures[places]) for one in sums]])[0]
    scores = {key: drawn[key].interval() for key in SCORES if key in drawn}
    return Bin(float(values[places].min()), float(values[places].max()), places, scores)


def cut(values: NDArray[Any], most: int = MOST_BINS, least: int = LEAST_PICTURES) -> list[Ints]:
    """The places of numbers in at most `most` bins, in order; equal numbers share a bin, each holds `least` or all."""
    order = np.argsort(values, kind="stable")
    ends = np.flatnonzero(np.diff(values[order], append=np.inf)) + 1  # where a bin may end
    size = max(len(values) / most, least)
    cuts: list[int] = []
    for end in ends.tolist():
        if end - (cuts[-1] if cuts else 0) >= size:
            cuts.append(end)
    if not cuts or len(values) - cuts[-1] >= max(size / 2, least):
        cuts.append(len(values))
    return [np.sort(part) for part in np.split(order, cuts[:-1])]


def numbers(material: Material) -> Iterator[Numbers]:
    """By what scores are told."""
    yield _numbers("Words of the references, mean", "words", [_mean_length(texts) for texts in material.people])
    yield _numbers("Words of the caption", "words", [len(tokens) for tokens in material.said])
    if material.things:
        mentions = material.things.lexicon.mentions
        named = [len({one.thing for tokens in texts for one in mentions(tokens)}) for texts in material.people]
        yield _numbers("Different things that the references name", "things", named)
    counts = material.reference_counts if material.training is None else material.training
    where = "references" if material.training is None else "training captions"
    rarest = [min((counts.get(word, 0) for word in words), default=np.nan) for words in material.common]
    yield _numbers(f"Rarest word that half of the references use: times in the {where}", "times", rarest)
    if material.neighbours:
        yield Numbers("Similarity to the nearest training picture", "cosine", material.neighbours.similarity)


def _numbers(name: str, unit: str, values: Sequence[float]) -> Numbers:
    return Numbers(name, unit, np.array(values, np.float64))


def _mean_length(texts: Sequence[Sequence[str]]) -> float:
    return round(sum(map(len, texts)) / len(texts))
