"""`metrics.csv`: one row per logged step, for spreadsheets and pandas.

Lightning's CSV logger empties its file when a run is resumed; this one drops the rows that come again and appends. A
row is on disk as soon as it is logged. A metric that appears late adds a column, for which the file is rewritten
once.
"""

import csv
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers import Logger

from showtell.atomic import atomic_write
from showtell.monitoring.rewind import LogPoint


class MetricsFile(Logger):
    """Writes metrics to a CSV file with the columns `step`, `epoch` and one per metric.

    Args:
        path: the file.
        resumed_at: where the run goes on; what was logged after it is dropped.
    """

    def __init__(self, path: Path, resumed_at: LogPoint | None = None) -> None:
        super().__init__()
        self.path = path
        self.columns = ["step", "epoch"]
        self._start(resumed_at)

    @property
    def name(self) -> str:
        """What Lightning calls this logger."""
        return "csv"

    @property
    def version(self) -> str:
        """There is one file per run."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Appends a row."""
        row = {"step": step, **metrics}
        new = [key for key in row if key not in self.columns]
        if new:
            rows = self._rows()
            self.columns += new
            self._rewrite(rows)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Hyper-parameters are in `config.yaml` and in TensorBoard."""

    @rank_zero_only
    def _start(self, resumed_at: LogPoint | None) -> None:
        rows: list[dict[str, str]] = []
        if self.path.is_file() and resumed_at is not None:
            before = self._rows()
            self.columns = list(before[0]) if before else self.columns
            rows = list(takewhile(lambda row: not self._comes_again(row, resumed_at), before))
        self._rewrite(rows)

    def _comes_again(self, row: dict[str, str], point: LogPoint) -> bool:
        if None in row.values() or not row["step"].isdigit():  # a line that was cut, or a foreign one
            return True
        return point.comes_again(int(row["step"]), [name for name, value in row.items() if value])

    def _rows(self) -> list[dict[str, str]]:
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        lines = [",".join(self.columns)] + [",".join(row.get(key) or "" for key in self.columns) for row in rows]
        with atomic_write(self.path) as file:
            file.write(("\n".join(lines) + "\n").encode())
