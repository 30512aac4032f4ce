"""What of a leaderboard is chance: an interval for each row's score, and which rows cannot be told from the best.

A run stores what each of its pictures adds to the scores, of the validation after its best epoch and of the test split.
So the pictures are resampled here without a caption, a reference or torch. Rows of several seeds also cover the seeds.
Runs are compared where they were scored on the same pictures, references and tokens, as their signatures say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose

import numpy as np

from showtell.evaluation.comparison import Comparison, corrected, interval
from showtell.evaluation.groups import Folds, difference
from showtell.evaluation.resampling import Floats, Interval, Sample, samples
from showtell.evaluation.sums import Statistics, Sums, load_statistics
from showtell.leaderboard.runs import ComparedRun
from showtell.run import Run

EXPLAINED = (
    "95% interval: over the choice of pictures (bootstrap), and over seeds where a row has several (t); "
    "p against #1 by t, corrected for all rows (Holm): from 0.05 on chance would do that too"
)


@dataclass(frozen=True)
class RowChance:
    """How much of a row's score is chance.

    Attributes:
        interval: of the score.
        signature: of the score.
        pictures: that were scored.
        resampled: `(R,)` the mean of its runs over resampled pictures, which are the same ones for all rows.
        against_best: how it compares with the best row; None for that itself.
    """

    interval: Interval
    signature: str
    pictures: int
    resampled: Floats = field(compare=False, repr=False)
    against_best: Comparison | None = None

    @property
    def verdict(self) -> str:
        """`no, p = 0.310`: whether the row differs from the best; empty for that itself."""
        one = self.against_best
        return "" if one is None else f"{'yes' if one.is_told else 'no'}, {one.text_of_p}"


def explained(chances: Mapping[int, RowChance]) -> list[str]:
    """What the columns mean, and what was scored."""
    return [EXPLAINED, f"signature: {next(iter(chances.values())).signature}"]


def chances(rows: Sequence[Sequence[ComparedRun]], metric: str) -> dict[int, RowChance]:
    """By place of a row, best first, what of its score is chance; rows without statistics are left out."""
    split, _, name = metric.partition("/")
    found = {place: [_statistics(run, split, name, metric) for run in runs] for place, runs in enumerate(rows)}
    known = {place: [one for one in some if one] for place, some in found.items() if some and all(some)}
    if not known:
        return {}
    pictures = _pictures(next(iter(known.values()))[0])  # the best row's that has any
    known = {place: some for place, some in known.items() if {_pictures(one) for one in some} == {pictures}}
    folds = _folds(known, name)
    number = len(next(iter(known.values()))[0].picture_ids)
    count = {"": number}
    told: dict[int, Comparison] = {}
    if 0 in folds:
        others = [place for place in folds if place != 0]
        told = dict(zip(others, corrected([_against(folds[0], folds[place], count) for place in others]), strict=True))
    return {
        place: RowChance(
            interval(group, count), known[place][0].signature, number,
            np.mean([run.resampled for run in group[""]], axis=0), told.get(place),
        )
        for place, group in folds.items()
    }  # fmt: skip


def _against(best: Folds, other: Folds, count: Mapping[str, int]) -> Comparison:
    """By t also of single runs: the least p of counted resamples, corrected for a hundred rows, would tell nothing."""
    found = difference(other, best, count)
    return Comparison("", found, {"t": found.p})


def _statistics(run: ComparedRun, split: str, name: str, metric: str) -> Statistics | None:
    """What the run stored for a score, if it is of the very captions whose score the leaderboard shows."""
    stored = load_statistics(Run(run.directory).statistics(split))
    value = run.metric(metric)
    if stored is None or value is None or (sums := _of(stored, name)) is None:
        return None
    own = float(sums.formula(sums.pictures.sum(0))[list(sums.names).index(name)])
    return stored if isclose(own, value, rel_tol=1e-4, abs_tol=1e-6) else None


def _of(stored: Statistics, name: str) -> Sums | None:
    return next((sums for sums in stored.sums if name in sums.names), None)


def _pictures(stored: Statistics) -> tuple[str, bytes]:
    """What runs must have in common; which metrics were scored besides need not be."""
    return stored.signature.partition("|")[2], stored.picture_ids.tobytes()


def _folds(known: Mapping[int, Sequence[Statistics]], name: str) -> dict[int, dict[str, list[Sample]]]:
    """The samples of each row, all over the same resamples."""
    runs = [[sums] for some in known.values() for one in some if (sums := _of(one, name))]
    drawn = iter(samples(runs))
    return {place: {"": [next(drawn)[name] for _ in some]} for place, some in known.items()}
