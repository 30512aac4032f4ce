"""How far a score is chance: the pictures are drawn anew, and the scores follow from stored sums.

A bootstrap draws P of the P pictures with replacement, over and over. A caption is not scored again: each picture's
part of every sum (`Sums`) is known, so R resamples are one product of an R x P matrix of counts with these, and BLEU,
which is no mean, follows from the summed n-gram counts. CIDEr's document frequencies are those of the whole reference
set in every resample: which words are rare is a property of the data, and the number stays comparable.

Two systems are compared on the same pictures in each resample (paired bootstrap; Koehn, 2004, in the form that shifts
the differences to the null hypothesis), or by approximate randomization (Riezler & Maxwell, 2005): if they were alike,
swapping their captions of a picture would change nothing, so the swaps' differences are what chance makes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from showtell.evaluation.student import quantile
from showtell.evaluation.sums import Sums

Floats = NDArray[np.float64]
RESAMPLES, SEED = 1000, 0
_BLOCK = 64  # resamples at a time: the matrix of counts stays small beside the captions


@dataclass(frozen=True)
class Interval:
    """A value, and where it lies with 95% confidence."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} {self.text}"

    @property
    def text(self) -> str:
        """`[0.3410, 0.4021]`."""
        return f"[{self.low:.4f}, {self.high:.4f}]"

    @property
    def bounds(self) -> tuple[float, float]:
        """From where to where."""
        return self.low, self.high


@dataclass(frozen=True)
class Sample:
    """A score of one run: its value, `(R,)` its values over resampled pictures, and of how many pictures."""

    value: float
    resampled: Floats
    pictures: int

    def interval(self) -> Interval:
        """The value with the percentile interval, expanded for few pictures."""
        tail = _tail(self.pictures)
        low, high = np.quantile(self.resampled, [tail, 1 - tail])
        return Interval(self.value, float(low), float(high))

    def __sub__(self, other: "Sample") -> "Sample":
        """The difference of two runs on the same pictures."""
        return Sample(self.value - other.value, self.resampled - other.resampled, self.pictures)


@lru_cache
def _tail(pictures: int) -> float:
    """2.5%, or less: a bootstrap of few pictures is too narrow, as a deviation without n - 1 is (Hesterberg, 2015)."""
    freedom = max(pictures - 1, 1)
    return NormalDist().cdf(-sqrt(pictures / freedom) * quantile(freedom))


def samples(runs: Sequence[Sequence[Sums]], resamples: int = RESAMPLES, seed: int = SEED) -> list[dict[str, Sample]]:
    """The scores of runs on the same pictures, all of them over the same resamples, by name.

    Args:
        runs: the sums of each run, as `CaptionScores.sums`.
        resamples: R.
        seed: of the draw; with it the resamples are the same for the same number of pictures.
    """
    flat = [sums for run in runs for sums in run]
    if not flat:
        return [{} for _ in runs]
    parts = np.hstack([sums.pictures for sums in flat])
    drawn = np.vstack([counts @ parts for counts in _drawn_counts(len(parts), resamples, seed)])
    cuts = np.cumsum([sums.pictures.shape[1] for sums in flat])[:-1]
    pairs = zip(np.split(parts.sum(0), cuts), np.split(drawn, cuts, axis=1), strict=True)
    found = [_by_name(sums, whole, some) for sums, (whole, some) in zip(flat, pairs, strict=True)]
    ends = np.cumsum([len(run) for run in runs])
    return [
        {name: sample for one in found[end - len(run) : end] for name, sample in one.items()}
        for run, end in zip(runs, ends, strict=True)
    ]


def _by_name(sums: Sums, whole: Floats, drawn: Floats) -> dict[str, Sample]:
    values, resampled, pictures = sums.formula(whole), sums.formula(drawn), len(sums.pictures)
    return {name: Sample(float(values[place]), resampled[:, place], pictures) for place, name in enumerate(sums.names)}


def _drawn_counts(pictures: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Blocks of `(., P)`: how often each resample holds each picture."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _BLOCK):
        rows = min(_BLOCK, resamples - start)
        drawn = rng.integers(pictures, size=(rows, pictures)) + pictures * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * pictures).reshape(rows, pictures).astype(np.float64)


def bootstrap_p(one: Sample, other: Sample) -> float:
    """The share of resamples whose difference, shifted to the null hypothesis, is as large as the one seen."""
    difference = one - other
    return _share(difference.resampled - difference.value, difference.value)


def randomization_p(
    one: Sequence[Sums], other: Sequence[Sums], resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, float]:
    """By name of a score: the share of random swaps, picture by picture, whose difference is as large as the one seen.

    Args:
        one: the sums of a run, as `CaptionScores.sums`.
        other: of another run on the same pictures; scores that only one of them has are left out.
        resamples: how many times all pictures are swapped or not.
        seed: of the swaps.
    """
    theirs = {tuple(sums.names): sums for sums in other}
    pairs = [(sums, theirs[tuple(sums.names)]) for sums in one if tuple(sums.names) in theirs]
    if not pairs:
        return {}
    halves = np.hstack([(a.pictures - b.pictures) / 2 for a, b in pairs])
    swapped = np.vstack([signs @ halves for signs in _drawn_signs(len(halves), resamples, seed)])
    cuts = np.cumsum([a.pictures.shape[1] for a, _ in pairs])[:-1]
    found: dict[str, float] = {}
    for (a, b), half in zip(pairs, np.split(swapped, cuts, axis=1), strict=True):
        whole_a, whole_b = a.pictures.sum(0), b.pictures.sum(0)
        middle = (whole_a + whole_b) / 2
        seen = a.formula(whole_a) - b.formula(whole_b)
        by_chance = a.formula(middle + half) - b.formula(middle - half)
        found |= {name: _share(by_chance[:, place], seen[place]) for place, name in enumerate(a.names)}
    return found


def _drawn_signs(pictures: int, resamples: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _BLOCK):
        yield rng.choice(np.array([-1.0, 1.0]), size=(min(_BLOCK, resamples - start), pictures))


def _share(by_chance: Floats, seen: float) -> float:
    """How often chance does as much; what is seen counts as one more, so it is never 0 (Davison & Hinkley, 1997)."""
    slack = 1e-12  # sums in another order differ in their last digits
    return float((1 + np.count_nonzero(np.abs(by_chance) >= abs(seen) - slack)) / (1 + len(by_chance)))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's (1979) correction for several comparisons: what stays below 5% is so with 95% for all of them at once."""
    corrected: dict[str, float] = {}
    largest = 0.0
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda pair: pair[1])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}
