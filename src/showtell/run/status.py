"""What a run directory tells of a run, read as files that somebody else may have written.

Directories are copied, killed amid writing, and handed on: a pipe in place of a file would be waited for, a huge one
fill the memory, a number in place of a name be a traceback. So only regular files of a bounded size are read, and what
has another type than it must have counts as missing.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from showtell.files import parsed_json, read_regular


@dataclass(frozen=True)
class RunStatus:
    """`status.json`: `state` is running, finished, pruned, stopped or failed; `epoch` counts the epochs done."""

    state: str = "new"
    pid: int = 0
    epoch: int = 0
    max_epochs: int = 0
    step: int = 0
    monitor: str = "val/loss"
    mode: str = "min"
    best: float | None = None
    best_epoch: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str | None = None
    then: str | None = None  # the recipe of a second stage that is to follow
    written: float = 0.0  # when, in seconds since 1970

    def seconds_left(self, now: float) -> float | None:
        """An estimate from the epochs so far; `now` is in seconds since 1970, and None means unknown."""
        if self.state != "running" or not self.epoch:
            return None
        return max(0.0, self.seconds / self.epoch * (self.max_epochs - self.epoch) - (now - self.written))


_TYPES: dict[Any, tuple[type, ...]] = {
    str: (str,), int: (int,), float: (int, float), str | None: (str, type(None)), int | None: (int, type(None)),
    float | None: (int, float, type(None)),
}  # fmt: skip


def read_status(file: Path) -> RunStatus | None:
    """What a `status.json` says; None where there is none, or where it says what no run wrote."""
    values = read_object(file)
    known = {one.name: one.type for one in fields(RunStatus) if one.name != "written"}
    kept = {name: value for name, value in values.items() if name in known}
    metrics = kept.pop("metrics", {})
    if not values or not isinstance(metrics, dict) or not all(_fits(kept[name], known[name]) for name in kept):
        return None
    numbers = {name: value for name, value in metrics.items() if _fits(value, float)}
    try:
        return RunStatus(**kept, metrics=numbers, written=file.stat().st_mtime)
    except OSError:  # it has gone since
        return None


def read_scores(file: Path) -> dict[str, float]:
    """The scores in a file as predict.py writes them; empty where there are none."""
    scores = read_object(file).get("scores")
    return {name: value for name, value in scores.items() if _fits(value, float)} if isinstance(scores, dict) else {}


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a `metrics.csv`; those before the first that no program of ours wrote."""
    found: list[dict[str, str]] = []
    try:
        for row in csv.DictReader(io.StringIO(read_regular(file).decode("utf-8"), newline="")):
            if None in row or None in row.values():
                break
            found.append(row)
    except (OSError, ValueError, csv.Error):
        pass
    return found


def read_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none."""
    try:
        found = parsed_json(read_regular(file))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _fits(value: object, kind: Any) -> bool:
    """Whether a value is of a type; true is no number, and neither is what no computer counts to."""
    if isinstance(value, int) and (isinstance(value, bool) or abs(value) >= 2**63):
        return False
    return isinstance(value, _TYPES[kind])
