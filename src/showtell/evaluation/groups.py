"""Groups of runs: several seeds, on one set of pictures or on several (folds), as one score with its interval.

What is asked is whether the method of one group is better than that of another, so both the pictures and the seeds that
happened to be taken are chance. A group's score is the mean over its folds of the mean over a fold's runs. Its variance
has three parts, as of a crossed design of seeds and pictures:

- seeds: the variance between the runs of a fold, over their number n, with n - 1 degrees of freedom. It holds the
  training's luck and also that runs say different captions of the same few pictures;
- pictures: the variance of the mean of the runs over resampled pictures. Runs on the same pictures are resampled
  together, and so are the two groups: what is hard for both cancels;
- what both of these hold: runs that say different captions part when pictures are resampled. By how much is estimated
  run by run, and taken off the pictures' part, so that it counts once.

With Satterthwaite's (1946) degrees of freedom the interval and p value are those of Student's t. Folds are taken as
given. Where each fold has one run the seeds' part is unknown and left out, which `seeds` tells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from showtell.evaluation.resampling import Floats, Interval, Sample
from showtell.evaluation.student import quantile, two_sided_p

Folds = Mapping[str, Sequence[Sample]]
"""Of one score of a group: the runs of each fold, over resamples that are the fold's."""


@dataclass(frozen=True)
class GroupScore(Interval):
    """A score of a group, or how much better one group is than another.

    Attributes:
        p: of a difference this large where there is none; of a single group's score, that it is 0.
        seeds: whether the interval covers the seeds too, and not the pictures alone.
        freedom: degrees of freedom.
        picture_share: the part of the variance that the pictures make, whatever the seeds.
    """

    p: float
    seeds: bool
    freedom: float
    picture_share: float


@dataclass(frozen=True)
class _Seeds:
    """A group's variance by its seeds: as it is seen, what of it pictures make too, and its degrees of freedom."""

    seen: float
    shared: float
    freedom: int


def score(group: Folds, pictures: Mapping[str, int]) -> GroupScore:
    """The score of a group; `pictures` counts those of each fold."""
    value = float(np.mean([np.mean([run.value for run in runs]) for runs in group.values()]))
    return _estimate(value, _resampled_mean(group), [group], pictures)


def difference(one: Folds, other: Folds, pictures: Mapping[str, int]) -> GroupScore:
    """How much more the one group scores than the other on the same folds."""
    assert one.keys() == other.keys()
    ours, theirs = score(one, pictures).value, score(other, pictures).value
    return _estimate(ours - theirs, _resampled_mean(one) - _resampled_mean(other), [one, other], pictures)


def _resampled_mean(group: Folds) -> Floats:
    means = [np.mean([run.resampled for run in runs], axis=0) for runs in group.values()]
    return np.asarray(np.mean(means, axis=0), np.float64)


def _estimate(value: float, resampled: Floats, groups: Sequence[Folds], pictures: Mapping[str, int]) -> GroupScore:
    known = all(len(runs) > 1 for group in groups for runs in group.values())
    seeds = [_seeds(group) for group in groups] if known else []
    by_pictures = float(resampled.var(ddof=1))
    alone = max(0.0, by_pictures - sum(one.shared for one in seeds))
    variance = alone + sum(one.seen for one in seeds)
    # a fold's pictures have its number less one, and all folds vary about alike
    spread = by_pictures**2 / sum(number - 1 for number in pictures.values()) if by_pictures else 0.0
    spread += sum(one.seen**2 / one.freedom for one in seeds)
    freedom = max(1.0, variance**2 / spread) if spread else 1.0
    deviation = sqrt(variance)
    reach = quantile(freedom) * deviation
    p = two_sided_p(value / deviation, freedom) if deviation else float(value == 0)
    share = alone / variance if variance else 1.0
    return GroupScore(value, value - reach, value + reach, p, known, freedom, share)


def _seeds(group: Folds) -> _Seeds:
    seen = shared = 0.0
    for runs in group.values():
        count = len(runs) * len(group) ** 2
        seen += float(np.var([run.value for run in runs], ddof=1)) / count
        drawn = np.stack([run.resampled for run in runs])
        shared += float((drawn - drawn.mean(0)).var(axis=1, ddof=1).sum()) / (len(runs) - 1) / count
    return _Seeds(seen, shared, sum(len(runs) - 1 for runs in group.values()))
