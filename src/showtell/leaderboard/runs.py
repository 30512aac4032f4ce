"""The runs that are compared: found below the given folders, read without torch."""

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from showtell.config import monitor_mode
from showtell.config.setting import flat
from showtell.run import STATUS, Run
from showtell.run.status import RunStatus

Value = str | int | float | bool | None


@dataclass(frozen=True)
class ComparedRun:
    """One run: its folder, where it stands, and its configuration under the names of the command line."""

    directory: Path
    status: RunStatus
    parameters: Mapping[str, Value]
    test: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> Value:
        """The seed, which tells repetitions apart."""
        return self.parameters.get("seed")

    def metric(self, name: str) -> float | None:
        """A metric of the best epoch, or of the test split; None where there is none, or it is not a finite number."""
        found = {**self.status.metrics, **self.test, self.status.monitor: self.status.best}
        value = found.get(name)
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """`metrics.csv`, as far as it can be read."""
        return Run(self.directory).current.rows()

    def curve(self, metric: str) -> tuple[list[float], list[float]]:
        """A metric over the epochs: how many were done, and the values."""
        points = [(row.get("epoch"), row.get(metric)) for row in self.rows if row.get(metric)]
        pairs = [(number(epoch), number(value)) for epoch, value in points]
        known = [(epoch + 1, value) for epoch, value in pairs if epoch is not None and value is not None]
        return [epoch for epoch, _ in known], [value for _, value in known]


def number(text: str | None) -> float | None:
    """A finite number, or None."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def find_runs(paths: Iterable[Path]) -> list[ComparedRun]:
    """The runs in the given folders and below them, each once, in the order of their names."""
    found: dict[Path, ComparedRun] = {}
    for path in paths:
        for folder, below, files in os.walk(path):
            if STATUS in files:
                below.clear()  # there is no run within a run
                run = read_run(Path(folder))
                if run is not None:
                    found[run.directory.resolve()] = run
            else:
                below[:] = sorted(name for name in below if not name.startswith("."))
    return list(found.values())


def read_run(directory: Path) -> ComparedRun | None:
    """The run in a folder; None where none has begun, or its files cannot be read."""
    run = Run(directory)
    status, config = run.status(), run.values()
    if status is None or config is None:
        return None
    parameters = {key: _plain(value) for key, value in flat(config).items()}
    return ComparedRun(directory, status, parameters, run.current.test_metrics())


def main_metric(runs: Sequence[ComparedRun]) -> str:
    """What most runs chose their best epoch by; where it is a mean that some runs lack, the metric itself."""
    name = Counter(run.status.monitor for run in runs).most_common(1)[0][0]
    lacking = any(run.status.metrics and run.metric(name) is None for run in runs)
    return name.removesuffix("_mean") if lacking else name


def metric_names(runs: Iterable[ComparedRun], first: str) -> list[str]:
    """The metrics of test and validation, the given one first."""
    names = {name for run in runs for name in (*run.test, *run.status.metrics) if name.startswith(("val/", "test/"))}
    return [first, *sorted(names - {first})]


def metric_mode(runs: Iterable[ComparedRun], metric: str) -> str:
    """Whether a metric is to become small (`min`) or large (`max`), as the runs say where they say it."""
    return next((run.status.mode for run in runs if run.status.monitor == metric), monitor_mode(metric))


def _plain(value: Any) -> Value:
    if isinstance(value, int) and value.bit_length() > 63:  # no float, and perhaps too long to be written out
        return f"a number of {value.bit_length()} bits"
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
