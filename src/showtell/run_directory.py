"""What a run directory tells about its run, without torch: where it stands, and how it was configured.

A sweep asks this to know what is left to do, the leaderboard to compare. Both meet directories that were killed, copied
or written by an older version, so a file that cannot be read counts as missing.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from showtell.atomic import write_text_atomically

STATUS = "status.json"
# done is what no sweep starts again
DONE = ("finished", "pruned")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times as fast


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
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str | None = None
    written: float = 0.0  # when, in seconds since 1970

    def seconds_left(self, now: float) -> float | None:
        """An estimate from the epochs so far; `now` is in seconds since 1970, and None means unknown."""
        if self.state != "running" or not self.epoch:
            return None
        return max(0.0, self.seconds / self.epoch * (self.max_epochs - self.epoch) - (now - self.written))


def read_status(run_dir: Path) -> RunStatus | None:
    """Where the run in a directory stands; None where none has begun."""
    path = run_dir / STATUS
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        known = {field.name for field in fields(RunStatus)}
        return RunStatus(**{key: values[key] for key in values if key in known}, written=path.stat().st_mtime)
    except (OSError, ValueError, TypeError):
        return None


def record_failure(run_dir: Path, reason: str) -> None:
    """Makes the status of a run that has ended say why, where the run itself could not."""
    status = read_status(run_dir)
    if status and status.state in ("running", "failed"):
        path = run_dir / STATUS
        values = json.loads(path.read_text(encoding="utf-8")) | {"state": "failed", "reason": reason}
        write_text_atomically(path, json.dumps(values, indent=1) + "\n")


def remember_config(run_dir: Path, values: Mapping[str, Any]) -> None:
    """Makes `.hydra/config.yaml` say how the run goes on, so that the next `resume=` need not be told again."""
    (run_dir / ".hydra").mkdir(exist_ok=True)
    text = yaml.safe_dump({**values, "resume": None}, sort_keys=False, allow_unicode=True)
    write_text_atomically(run_dir / ".hydra" / "config.yaml", text)


def remove_if_unused(run_dir: Path) -> None:
    """Removes a run directory into which nothing was written but the configuration."""
    if {path.name for path in run_dir.glob("*")} == {".hydra"}:
        shutil.rmtree(run_dir)
        if not any(run_dir.parent.iterdir()):
            run_dir.parent.rmdir()


def read_config(run_dir: Path) -> dict[str, Any] | None:
    """The configuration that a run was started or last resumed with, nested; None where there is none."""
    try:
        values = yaml.load((run_dir / ".hydra" / "config.yaml").read_text(encoding="utf-8"), _Loader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`: the names of the command line."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return result
