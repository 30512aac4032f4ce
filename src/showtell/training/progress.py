"""Where a run stands: a bar for the epoch with the time left of the whole run, and a line when an epoch is done."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from showtell.distributed import is_rank_zero
from showtell.terminal import Progress, duration
from showtell.training.curves import Curves


class RunProgress(Callback):
    """The bar of an epoch, of its training and of its validation.

    The time left is that of all steps and validations to come, by the mean of those that this process has seen; early
    stopping may make it less.
    """

    def __init__(self, curves: Curves) -> None:
        self._curves = curves
        self._bar = Progress("", 0, "steps", shown=False)
        self._seconds = {"train": 0.0, "val": 0.0}
        self._seen = {"train": 0, "val": 0}
        self._since = 0.0
        self._batch = 0

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Draws the first bar, before the first batch is there."""
        self._bar = Progress("", 0, "steps", shown=is_rank_zero())
        self._since = time.perf_counter()
        if self._bar.is_live:
            self._show_training(trainer, 0)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One more."""
        self._passed("train")
        if self._bar.is_due():
            self._show_training(trainer, batch_idx + 1)

    def on_validation_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Begins a bar of its own."""
        self._since, self._batch = time.perf_counter(), 0

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """One more."""
        self._batch += 1
        if self._bar.is_due():
            total = int(sum(trainer.num_val_batches)) if isinstance(trainer.num_val_batches, list) else 0
            rest = f"{self._batch}/{total} batches{self._left(trainer)}"
            self._bar.show(f"{_epoch(trainer)}, validation", self._batch, total, rest)

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Counts it."""
        if not trainer.sanity_checking:
            self._passed("val")

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Removes the bar."""
        self._bar.hide()

    def on_exception(self, trainer: pl.Trainer, *_: Any) -> None:
        """Removes the bar."""
        self._bar.hide()

    def _passed(self, what: str) -> None:
        now = time.perf_counter()
        self._seconds[what] += now - self._since
        self._seen[what] += 1
        self._since = now

    def _show_training(self, trainer: pl.Trainer, done: int) -> None:
        losses = {"loss": self._curves.newest_loss, "val": trainer.callback_metrics.get("val/loss")}
        told = "".join(f"  {name} {float(value):.3f}" for name, value in losses.items() if value is not None)
        total = int(trainer.num_training_batches)
        self._bar.show(_epoch(trainer), done, total, f"{done:,}/{total:,} steps{told}{self._left(trainer)}")

    def _left(self, trainer: pl.Trainer) -> str:
        """Of the whole run, once there is something to go by."""
        if self._seen["train"] < 3:
            return ""
        per_epoch = int(trainer.num_training_batches)
        epochs = trainer.max_epochs or 1
        done = trainer.fit_loop.total_batch_idx + 1
        batches = epochs * per_epoch
        if trainer.max_steps > 0:
            batches = min(batches, trainer.max_steps * trainer.accumulate_grad_batches)
            epochs = -(-batches // per_epoch)
        left = self._mean("train") * max(0, batches - done) + self._mean("val") * max(0, epochs - trainer.current_epoch)
        return f", run {duration(left)} left"

    def _mean(self, what: str) -> float:
        return self._seconds[what] / max(1, self._seen[what])


def _epoch(trainer: pl.Trainer) -> str:
    return f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"


class EpochLines(Callback):
    """Prints one line per epoch, so that a log file tells the story as well as the bar."""

    def on_fit_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Starts the clock."""
        self.began = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Prints epoch, losses, scores and time."""
        if not trainer.is_global_zero:
            return
        named = {"train/epoch_loss": "loss"} | {name: name for name in ("val/loss", "val/cider", "val/true")}
        logged = trainer.callback_metrics
        scores = "  ".join(f"{named[key]} {logged[key].item():.3f}" for key in named if key in logged)
        passed = time.perf_counter() - self.began
        print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {scores}  {passed:.0f} s", flush=True)
