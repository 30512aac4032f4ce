"""`status.json`: where a run stands, for the sweep's summary line, the leaderboard and people."""

import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from showtell.checkpointing.best import BestCheckpoint
from showtell.run import Run


class Status(Callback):
    """Keeps `status.json` of the run directory: state, epoch, best value so far and the metrics it came with.

    The seconds of training travel in the checkpoint, so a resumed run goes on counting.

    Args:
        run_dir: where the file lies.
        owner: knows the best value.
    """

    def __init__(self, run_dir: Path, owner: BestCheckpoint) -> None:
        self.run = Run(run_dir)
        self.owner = owner
        self.pruned: str | None = None  # why a search has given this run up
        self.before = 0.0
        self.began = time.perf_counter()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Starts the clock."""
        self.began = time.perf_counter()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The run is on."""
        self._write(trainer, "running")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """One more epoch is done."""
        self._write(trainer, "running", done=trainer.current_epoch + 1)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The run came to its end."""
        state = "pruned" if self.pruned else "finished"
        self._write(trainer, state, done=_epochs_begun(trainer), reason=self.pruned)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """The run was stopped, or failed."""
        stopped = isinstance(exception, KeyboardInterrupt | SystemExit)
        reason = str(exception).splitlines()[0] if str(exception) else type(exception).__name__
        self._write(trainer, "stopped" if stopped else "failed", reason=reason)

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.before = state_dict["seconds"]
        self.began = time.perf_counter()

    def _seconds(self) -> float:
        return self.before + time.perf_counter() - self.began

    def _write(self, trainer: pl.Trainer, state: str, done: int | None = None, reason: str | None = None) -> None:
        if not trainer.is_global_zero:
            return
        best = self.owner.best
        self.run.record(
            state=state,
            pid=os.getpid(),
            epoch=trainer.current_epoch if done is None else done,
            max_epochs=trainer.max_epochs,
            step=trainer.global_step,
            monitor=best.monitor,
            mode=best.mode,
            best=best.value,
            best_epoch=best.epoch,
            metrics=best.metrics,
            seconds=round(self._seconds(), 3),
            reason=reason,
        )


def _epochs_begun(trainer: pl.Trainer) -> int:
    """From the number of steps: after `max_steps` Lightning counts a cut epoch only if it saw its end itself."""
    batches = getattr(getattr(trainer, "datamodule", None), "batches_per_epoch", 0)
    steps = -(-batches // trainer.accumulate_grad_batches)
    return -(-trainer.global_step // steps) if steps else trainer.current_epoch
