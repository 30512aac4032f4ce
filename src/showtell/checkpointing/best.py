"""The best value of one validation metric so far, and `best.ckpt`: the state that reached it.

There is one owner of "best": what `status.json`, the last line of a run, the leaderboard and a sweep's objective say
comes from here. `best.ckpt` is the same step boundary that `last.ckpt` uses, so that both resume exactly.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Checkpoint

from showtell.checkpointing.io import BEST
from showtell.checkpointing.last import LastCheckpoint
from showtell.distributed import is_rank_zero
from showtell.errors import UserError


@dataclass
class Best:
    """The best value of `monitor`, and what came with it.

    Attributes:
        monitor: name of a metric that validation logs.
        mode: `min` when smaller is better, `max` when larger is.
        value: None before the first validation that gave a number.
        metrics: all that the same validation logged.
        epoch: counted from 1; None where an older Showtell did not store it.
    """

    monitor: str
    mode: str
    value: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    epoch: int | None = None

    def is_beaten_by(self, value: float) -> bool:
        """Whether a value is better; what is not a number never is, also not as the first."""
        if math.isnan(value):
            return False
        return self.value is None or (value < self.value if self.mode == "min" else value > self.value)

    def replace(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Takes what a validation logged for the best."""
        self.value, self.metrics, self.epoch = metrics[self.monitor], dict(metrics), epoch


class BestCheckpoint(Checkpoint):
    """Writes `directory/best.ckpt` whenever the metric improves. Comes before `LastCheckpoint` in the list.

    `last` is the callback that knows the step boundary; `monitor` and `mode` are those of `Best`.
    """

    def __init__(self, directory: Path, last: LastCheckpoint, *, monitor: str = "val/loss", mode: str = "min") -> None:
        self.best = Best(monitor, mode)
        self._path = directory / BEST
        self._last = last

    def state_dict(self) -> dict[str, Any]:
        """The best so far, so that a resumed run does not replace the best file with a worse one."""
        best = self.best
        return {"monitor": best.monitor, "value": best.value, "metrics": dict(best.metrics), "epoch": best.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a checkpoint's best, if it belongs to the same metric and its file is still there."""
        if state_dict["monitor"] != self.best.monitor:
            if is_rank_zero():
                told = f"the best {state_dict['monitor']} is let go; training.monitor={self.best.monitor}"
                print(f"note: {told}", flush=True)
        elif self._path.exists():
            self.best = Best(mode=self.best.mode, **state_dict)

    def on_validation_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Compares and writes.

        Raises:
            UserError: validation does not log the monitored metric.
        """
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        logged = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("val/") or name == "train/epoch_loss"  # a resumed validation knows no others
        }
        check_monitor(self.best.monitor, logged)
        if self.best.is_beaten_by(logged[self.best.monitor]):
            self._last.save(trainer, self._path)
            self.best.replace(logged, trainer.current_epoch + 1)


def check_monitor(monitor: str, logged: Mapping[str, Any] | set[str]) -> None:
    """Refuses a metric that validation does not log.

    Raises:
        UserError: it names those that are.
    """
    if monitor not in logged:
        names = ", ".join(sorted(logged))
        raise UserError(f"training.monitor={monitor!r} is not logged by validation; choose one of {names}")
