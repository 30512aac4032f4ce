"""`status.json`: where a run stands, for the sweep's summary line, the leaderboard and people."""

import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from showtell.run import Run


class Status(Callback):
    """Keeps `status.json` of the run directory: state, epoch, best value so far and the metrics it came with.

    The best epoch and the seconds of training travel in the checkpoint, so a resumed run goes on counting.
    """

    def __init__(self, run_dir: Path, monitor: str, mode: str) -> None:
        self.run = Run(run_dir)
        self.monitor = monitor
        self.mode = mode
        self.best: float | None = None
        self.metrics: dict[str, float] = {}
        self.before = 0.0
        self.began = time.perf_counter()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Starts the clock."""
        self.began = time.perf_counter()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The run is on."""
        self._write(trainer, "running")

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remembers the best epoch."""
        value = trainer.callback_metrics.get(self.monitor)
        if value is not None and self._is_better(value.item()):
            self.best = value.item()
            self.metrics = {
                key: metric.item()
                for key, metric in trainer.callback_metrics.items()
                if key.startswith("val/") or key == "train/epoch_loss"  # a resumed validation knows no others
            }

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """One more epoch is done."""
        self._write(trainer, "running", done=trainer.current_epoch + 1)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The run came to its end."""
        self._write(trainer, "finished", done=_epochs_begun(trainer))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """The run was stopped, or failed."""
        stopped = isinstance(exception, KeyboardInterrupt | SystemExit)
        reason = str(exception).splitlines()[0] if str(exception) else type(exception).__name__
        self._write(trainer, "stopped" if stopped else "failed", reason=reason)

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"best": self.best, "metrics": dict(self.metrics), "seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.best, self.metrics, self.before = (
            state_dict["best"],
            state_dict["metrics"],
            state_dict["seconds"],
        )
        self.began = time.perf_counter()

    def _is_better(self, value: float) -> bool:
        if self.best is None:
            return True
        return value < self.best if self.mode == "min" else value > self.best

    def _seconds(self) -> float:
        return self.before + time.perf_counter() - self.began

    def _write(self, trainer: pl.Trainer, state: str, done: int | None = None, reason: str | None = None) -> None:
        if not trainer.is_global_zero:
            return
        self.run.record(
            state=state,
            pid=os.getpid(),
            epoch=trainer.current_epoch if done is None else done,
            max_epochs=trainer.max_epochs,
            step=trainer.global_step,
            monitor=self.monitor,
            mode=self.mode,
            best=self.best,
            metrics=self.metrics,
            seconds=round(self._seconds(), 3),
            reason=reason,
        )


def _epochs_begun(trainer: pl.Trainer) -> int:
    """From the number of steps: after `max_steps` Lightning counts a cut epoch only if it saw its end itself."""
    batches = getattr(getattr(trainer, "datamodule", None), "batches_per_epoch", 0)
    steps = -(-batches // trainer.accumulate_grad_batches)
    return -(-trainer.global_step // steps) if steps else trainer.current_epoch
