"""`best.ckpt`: the state with the best value of one validation metric so far.

Lightning's `ModelCheckpoint` would write the state in the middle of the validation's end, from which a
resumed run leaves out the plateau schedule's step. This one writes the same step boundary that `last.ckpt`
uses, so that both resume exactly.
"""

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Checkpoint

from showtell.checkpointing.io import BEST
from showtell.checkpointing.last import LastCheckpoint
from showtell.errors import UserError


class BestCheckpoint(Checkpoint):
    """Writes `directory/best.ckpt` whenever the metric improves. Comes before `LastCheckpoint` in the list.

    Args:
        directory: where checkpoints lie.
        last: the callback that knows the step boundary.
        monitor: name of a metric that validation logs.
        mode: `min` when smaller is better, `max` when larger is.
    """

    def __init__(self, directory: Path, last: LastCheckpoint, *, monitor: str = "val/loss", mode: str = "min") -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"mode={mode!r} is not an option; choose min or max")
        self.path = directory / BEST
        self.best_score: float | None = None
        self._last = last
        self._monitor = monitor
        self._sign = 1 if mode == "max" else -1

    def state_dict(self) -> dict[str, Any]:
        """The best score, so that a resumed run does not replace the best file with a worse one."""
        return {"best_score": self.best_score, "monitor": self._monitor}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the score over if it belongs to the same metric and its file is still there."""
        if state_dict.get("monitor") == self._monitor and self.path.exists():
            self.best_score = state_dict["best_score"]

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Compares and writes; a score that is not a number is never the best.

        Raises:
            UserError: validation does not log the monitored metric.
        """
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if self._monitor not in trainer.callback_metrics:
            logged = ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val")))
            raise UserError(f"training.monitor={self._monitor!r} is not logged by validation; choose one of {logged}")
        score = float(trainer.callback_metrics[self._monitor])
        if math.isnan(score) or (self.best_score is not None and self._sign * score <= self._sign * self.best_score):
            return
        self._last.save(trainer, self.path)
        self.best_score = score
