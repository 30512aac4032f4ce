"""The best value of one validation metric so far, and `best.ckpt`: the state that reached it.

There is one owner of "best": what `status.json`, the last line of a run, the leaderboard and a sweep's objective say
comes from here, and so does the end of a run that gets no better. `best.ckpt` is the same step boundary that
`last.ckpt` uses, so that both resume exactly.

A single epoch's CIDEr of a hundred pictures is mostly chance, so an epoch can be judged by the mean over it and the
validations before it; that is logged under a name of its own, `val/cider_mean`. The first epochs have too few before
them: their means, over what is there, count only until the first mean over all of them, which replaces them whatever it
is. Else the first epoch, a single draw, would win more often than any later one. Of equal epochs the later is better:
it has learnt more, and where the metric cannot tell (CIDEr of one picture is 0) it is not the first that is kept.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Checkpoint

from showtell.checkpointing.io import BEST
from showtell.checkpointing.last import LastCheckpoint
from showtell.distributed import is_rank_zero
from showtell.errors import UserError

MEAN = "_mean"
"""What the name of a metric has behind it where it is the mean over several validations."""


@dataclass
class Best:
    """The best value of `monitor`, and what came with it.

    Attributes:
        monitor: name of a metric that validation logs, or of its mean over `window` validations.
        mode: `min` when smaller is better, `max` when larger is.
        value: None before the first validation that gave a number.
        metrics: all that the same validation logged.
        epoch: counted from 1; None where an older Showtell did not store it.
        window: how many validations are averaged.
        count: how many the best value is the mean of; fewer than `window` in the first epochs.
        recent: the metric of the last validations, `window` at most.
        waited: validations since there was a better one.
    """

    monitor: str
    mode: str
    value: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    epoch: int | None = None
    window: int = 1
    count: int = 1
    recent: list[float] = field(default_factory=list)
    waited: int = 0

    @property
    def measured(self) -> str:
        """The metric that is averaged."""
        return self.monitor.removesuffix(MEAN) if self.window > 1 else self.monitor

    def mean_with(self, value: float) -> float:
        """Takes the metric of one more validation; the mean over the last `window`."""
        self.recent = [*self.recent, value][-self.window :]
        return statistics.fmean(self.recent)

    def is_beaten_by(self, value: float, or_equalled: bool = False) -> bool:
        """Whether the mean over `recent` is better; what is not a number never is, also not as the first."""
        if math.isnan(value):
            return False
        if self.value is None or self.count < self.window == len(self.recent):
            return True
        if value == self.value:
            return or_equalled
        return value < self.value if self.mode == "min" else value > self.value

    def replace(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Takes what a validation logged for the best."""
        self.value, self.metrics, self.epoch = metrics[self.monitor], dict(metrics), epoch
        self.count = max(1, len(self.recent))


class BestCheckpoint(Checkpoint):
    """Writes `directory/best.ckpt` whenever the metric improves. Comes before `LastCheckpoint` in the list.

    Args:
        directory: where checkpoints lie.
        last: the callback that knows the step boundary.
        monitor: a metric that validation logs.
        mode: that of `Best`.
        window: how many validations are averaged.
        patience: the run ends after so many validations without a better one; 0: never.
    """

    def __init__(
        self,
        directory: Path,
        last: LastCheckpoint,
        *,
        monitor: str = "val/loss",
        mode: str = "min",
        window: int = 1,
        patience: int = 0,
    ) -> None:
        self.best = Best(monitor + MEAN if window > 1 else monitor, mode, window=window)
        self._patience = patience
        self._path = directory / BEST
        self._last = last

    def state_dict(self) -> dict[str, Any]:
        """The best so far, so that a resumed run does not replace the best file with a worse one."""
        return {key: value for key, value in asdict(self.best).items() if key not in ("mode", "window")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a checkpoint's best, if it belongs to the same metric and its file is still there."""
        if state_dict["monitor"] != self.best.monitor:
            if is_rank_zero():
                told = f"the best {state_dict['monitor']} is let go; {self.best.monitor} chooses from now on"
                print(f"note: {told}", flush=True)
        elif self._path.exists():
            self.best = Best(mode=self.best.mode, window=self.best.window, **state_dict)
        else:
            self.best.recent = state_dict.get("recent", [])

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """A resumed run may have ended already, for want of a better epoch."""
        self._stop_if_patience_is_over(trainer)

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Logs the mean.

        Raises:
            UserError: validation does not log the monitored metric.
        """
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        check_monitor(self.best.measured, _logged(trainer))
        mean = self.best.mean_with(float(trainer.callback_metrics[self.best.measured]))
        if self.best.window > 1:
            pl_module.log(self.best.monitor, mean)

    def on_validation_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Compares and writes."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        best, logged = self.best, _logged(trainer)
        better, replaces = (best.is_beaten_by(logged[best.monitor], tie) for tie in (False, True))
        if replaces:
            self._last.save(trainer, self._path)
            best.replace(logged, trainer.current_epoch + 1)
        best.waited = 0 if better else best.waited + 1
        self._stop_if_patience_is_over(trainer)

    def _stop_if_patience_is_over(self, trainer: lightning.Trainer) -> None:
        over = 0 < self._patience <= self.best.waited
        if trainer.strategy.reduce_boolean_decision(over, all=False):
            trainer.should_stop = True


def _logged(trainer: lightning.Trainer) -> dict[str, float]:
    """What the validation logged; of training only its mean loss: a resumed validation knows no more."""
    kept = ("val/", "train/epoch_loss")
    return {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith(kept)}


def check_monitor(monitor: str, logged: Mapping[str, Any] | set[str]) -> None:
    """Refuses a metric that validation does not log.

    Raises:
        UserError: it names those that are.
    """
    if monitor not in logged:
        names = ", ".join(sorted(logged))
        raise UserError(f"training.monitor={monitor!r} is not logged by validation; choose one of {names}")
