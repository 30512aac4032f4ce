"""Scores of groups of pictures: the pictures are put in order of a number and cut into bins of about one size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.analysis.material import Ints, Material
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
        bins: in its order.
        left_out: pictures that have no such number.
    """

    name: str
    bins: Sequence[Bin]
    left_out: int = 0


def binned(name: str, values: NDArray[Any], sums: Sequence[Sums]) -> Binned:
    """Scores by a number, `(P,)`; NaN: the picture has none."""
    known = np.flatnonzero(~np.isnan(values.astype(np.float64)))
    bins = [_bin(values, known[some], sums) for some in cut(values[known])] if len(known) else []
    return Binned(name, bins, len(values) - len(known))


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
    cuts[-1] = len(values)
    return [np.sort(part) for part in np.split(order, cuts[:-1])]


def numbers(material: Material) -> dict[str, NDArray[np.float64]]:
    """By what scores are told: `(P,)` of each; NaN where a picture has no such number."""
    found: dict[str, list[float]] = {
        "Words of the references, mean": [round(_mean(map(len, texts))) for texts in material.people],
        "Words of the caption": [len(tokens) for tokens in material.said],
    }
    if material.things:
        mentions: Callable[[Sequence[str]], Any] = material.things.lexicon.mentions
        found["Different things that the references name"] = [
            len({mention.thing for tokens in texts for mention in mentions(tokens)}) for texts in material.people
        ]
    counts = material.reference_counts if material.training is None else material.training
    where = "references" if material.training is None else "training captions"
    found[f"Rarest word that half of the references use: times in the {where}"] = [
        min((counts.get(word, 0) for word in words), default=np.nan) for words in material.common
    ]
    if material.neighbours:
        found["Similarity to the nearest training picture"] = material.neighbours.similarity.tolist()
    return {name: np.array(values, np.float64) for name, values in found.items()}


def _mean(values: Any) -> float:
    return float(np.mean([*values]))
