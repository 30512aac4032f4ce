"""Who is best: runs that differ only by their seed are one row, with mean, standard deviation and number.

Only parameters that vary become columns. A choice of data or encoder changes many settings at once; those that merely
repeat what an earlier column of the same section tells are left out. A finished run is never averaged with one that was
cut.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from showtell.config.reference import traits
from showtell.errors import UserError
from showtell.leaderboard.runs import ComparedRun, Value, main_metric, metric_mode, metric_names

if TYPE_CHECKING:
    from showtell.leaderboard.chance import RowChance


@dataclass(frozen=True)
class Score:
    """A metric over the runs of a row; `deviation` is the sample standard deviation, None for a single run."""

    mean: float
    deviation: float | None
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.4f}" if self.deviation is None else f"{self.mean:.4f} ± {self.deviation:.4f}"


@dataclass(frozen=True)
class Row:
    """Runs that differ only by their seed, and are in the same state."""

    parameters: dict[str, Value]
    state: str
    runs: tuple[ComparedRun, ...]

    def score(self, metric: str) -> Score | None:
        """Mean and deviation over the runs that have the metric."""
        values = [value for run in self.runs if (value := run.metric(metric)) is not None]
        if not values:
            return None
        return Score(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))

    @property
    def seconds(self) -> float:
        """The mean time of training."""
        return statistics.fmean(run.status.seconds for run in self.runs)

    @property
    def epochs(self) -> str:
        """How many epochs were trained: `10`, or `7-10`."""
        done = sorted({run.status.epoch for run in self.runs})
        return str(done[0]) if len(done) == 1 else f"{done[0]}-{done[-1]}"


@dataclass(frozen=True)
class Leaderboard:
    """Rows from the best to the worst by `metric`, and the names of the columns."""

    metric: str
    mode: str
    parameters: list[str]
    metrics: list[str]
    rows: list[Row]

    @cached_property
    def chances(self) -> "dict[int, RowChance]":
        """By place of a row, what of its score is chance."""
        from showtell.leaderboard.chance import chances  # here: a sweep's display needs no numpy

        return chances([row.runs for row in self.rows], self.metric)

    @property
    def runs(self) -> list[ComparedRun]:
        """All runs, from the best row to the worst."""
        return [run for row in self.rows for run in row.runs]


def compare(runs: Sequence[ComparedRun], metric: str | None = None) -> Leaderboard:
    """Groups and ranks runs, at least one, by a metric or by what most of them chose their best epoch by.

    Raises:
        UserError: no run has the metric.
    """
    decides = metric or main_metric(runs)
    if metric is not None and all(run.metric(metric) is None for run in runs):
        known = metric_names(runs, main_metric(runs))
        raise UserError(f"{metric}: no run has this metric; choose one of {', '.join(known)}")
    mode = metric_mode(runs, decides)
    columns = varying(runs)
    groups: dict[tuple[str, ...], list[ComparedRun]] = {}
    for run in runs:
        groups.setdefault((run.status.state, *(repr(run.parameters.get(key)) for key in columns)), []).append(run)
    rows = [
        Row({key: members[0].parameters.get(key) for key in columns}, members[0].status.state, tuple(members))
        for members in groups.values()
    ]
    return Leaderboard(decides, mode, columns, metric_names(runs, decides), ranked(rows, decides, mode))


def ranked(rows: Iterable[Row], metric: str, mode: str) -> list[Row]:
    """The best first; rows without the metric last."""

    def key(row: Row) -> tuple[bool, float]:
        score = row.score(metric)
        return (True, 0.0) if score is None else (False, score.mean if mode == "min" else -score.mean)

    return sorted(rows, key=key)


def varying(runs: Sequence[ComparedRun]) -> list[str]:
    """The parameters that differ between runs, in the order of the configuration."""
    keys = dict.fromkeys(key for run in runs for key in run.parameters)
    told = traits(keys, runs[0].parameters)
    columns = {key: [repr(run.parameters.get(key)) for run in runs] for key in keys if told[key].compared}
    varied = {key: column for key, column in columns.items() if len(set(column)) > 1}
    names = list(varied)
    return [
        key
        for place, key in enumerate(names)
        if not (told[key].chosen_together and any(_repeats(key, other, varied) for other in names[:place]))
    ]


def _repeats(key: str, other: str, columns: dict[str, list[str]]) -> bool:
    """Whether a column of the same choice tells the same as an earlier one."""
    if other.partition(".")[0] != key.partition(".")[0]:
        return False
    pairs = set(zip(columns[key], columns[other], strict=True))
    return len(pairs) == len(set(columns[other]))


def short_names(keys: list[str]) -> dict[str, str]:
    """`decoder.hidden_size` as `hidden_size`, where that is unambiguous; `name` alone would say nothing."""
    lasts = [key.rpartition(".")[2] for key in keys]
    return {
        key: last if lasts.count(last) == 1 and last != "name" else key for key, last in zip(keys, lasts, strict=True)
    }


def shown(value: object) -> str:
    """A parameter's value as text: the digits that a person would write."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)
