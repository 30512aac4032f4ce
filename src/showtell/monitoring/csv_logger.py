"""`metrics.csv`: one row per logged step, for spreadsheets and pandas.

Lightning's CSV logger empties its file when a run is resumed; this one drops the rows from the resumed step on and
appends. A row is on disk as soon as it is logged. A metric that appears late adds a column, for which the file is
rewritten once.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers import Logger

from showtell.atomic import atomic_write


class MetricsFile(Logger):
    """Writes metrics to a CSV file with the columns `step`, `epoch` and one per metric.

    Args:
        path: the file.
        resumed_at: rows of this step and later are dropped: they come again.
    """

    def __init__(self, path: Path, resumed_at: int | None = None) -> None:
        super().__init__()
        self.path = path
        self.columns = ["step", "epoch"]
        if path.is_file() and resumed_at is not None:
            self._keep_before(resumed_at)
        else:
            self._rewrite([])

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
        """Hyper-parameters are in `.hydra/config.yaml` and in TensorBoard."""

    def _rows(self) -> list[dict[str, str]]:
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _keep_before(self, step: int) -> None:
        rows = self._rows()
        self.columns = list(rows[0]) if rows else self.columns
        self._rewrite([row for row in rows if (row["step"] or "").isdigit() and int(row["step"]) < step])

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        lines = [",".join(self.columns)] + [",".join(row.get(key) or "" for key in self.columns) for row in rows]
        with atomic_write(self.path) as file:
            file.write(("\n".join(lines) + "\n").encode())
