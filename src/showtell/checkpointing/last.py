"""`last.ckpt`: really the last state, after every epoch, N steps or M minutes, and when a run breaks off.

A due checkpoint is written at the beginning of the next step: the boundary's state was copied at the step's end, its
metrics have been logged since, and the loggers are flushed before the file is written, so that a kill at any moment
leaves a log that reaches at least as far as the checkpoint.
"""

import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from pytorch_lightning.callbacks import Checkpoint

from showtell.checkpointing import lightning_internals as internals
from showtell.checkpointing.boundary import StepBoundary
from showtell.checkpointing.finite import NonFiniteLossError
from showtell.checkpointing.io import LAST, load_checkpoint, save_checkpoint
from showtell.distributed import is_rank_zero
from showtell.errors import UserError
from showtell.processes import shortest
from showtell.run import Run
from showtell.temporaries import remove_stale_temporaries


class LastCheckpoint(Checkpoint):
    """Keeps `directory/last.ckpt` up to date. Must be the last of the callbacks.

    Args:
        directory: where checkpoints lie; stale temporary files in it are removed at the start.
        every_steps: also write after every so many optimizer steps; 0 for never.
        every_minutes: also write when so many minutes have passed since the last time; 0 for never.
    """

    def __init__(self, directory: Path, *, every_steps: int = 0, every_minutes: float = 0.0) -> None:
        self.boundary = StepBoundary()
        self._path = directory / LAST
        self._every_steps = every_steps
        self._every_seconds = 60 * every_minutes
        self._is_due = False
        self._epoch_ended = False
        self._written_at = 0.0
        self._max_steps: int | None = None

    def save(self, trainer: lightning.Trainer, path: Path) -> None:
        """Writes the boundary's state to `path`. No rank waits for another one here.

        Raises:
            NonFiniteLossError: the weights are not finite any more; the old file is kept.
            WriteError: the disk is full or a permission is missing; the old file is kept.
        """
        content = self.boundary.checkpoint(trainer)
        if not trainer.is_global_zero:
            return
        if broken := _not_finite(content["state_dict"]):
            raise NonFiniteLossError(
                f"the weights {broken} are not finite after step {self.boundary.global_step}; {path} is kept as it "
                "was; lower training.learning_rate or set training.gradient_clip"
            )
        for logger in trainer.loggers:
            logger.save()
        trainer.strategy.checkpoint_io.save_checkpoint(content, path)

    def setup(self, trainer: lightning.Trainer, *_: Any, **__: Any) -> None:
        """Removes what killed writers left."""
        if trainer.is_global_zero and self._path.parent.is_dir():
            remove_stale_temporaries(self._path.parent)

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """The loaded state is the boundary until the first step ends.

        When `max_steps` is reached but the validation after it was cut, Lightning would end before it:
        one more step is allowed until that validation is over.
        """
        self.boundary.restore(trainer, checkpoint)
        step = self.boundary.global_step
        if 0 <= trainer.max_steps <= step and internals.validation_is_due(checkpoint):
            self._max_steps = internals.set_max_steps(trainer, step + 1)

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Starts the clock; a run resumed between two epochs starts the next one like any other."""
        self._written_at = time.monotonic()
        if internals.is_between_epochs(trainer):
            internals.forget_restart(trainer)

    def on_train_epoch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Writes the state of the epoch before, now that everything in it is done."""
        if self._epoch_ended:
            self.boundary.capture_epoch(trainer)
            self._write(trainer)

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Writes what became due at the end of the step before."""
        if self._is_due:
            self._write(trainer)

    def on_validation_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Writes what became due at the end of the step before."""
        if self._is_due and not trainer.sanity_checking:
            self._write(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Takes back what `on_load_checkpoint` allowed."""
        if self._max_steps is not None:
            internals.set_max_steps(trainer, self._max_steps)
            self._max_steps = None

    def on_before_optimizer_step(self, trainer: lightning.Trainer, *_: Any) -> None:
        """From here on the weights are no longer those of the boundary."""
        self.boundary.close()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Remembers the step boundary and whether it is to be written."""
        if self.boundary.capture_step(trainer):
            self._epoch_ended = False
            steps_due = self._every_steps and self.boundary.global_step % self._every_steps == 0
            time_due = self._every_seconds and time.monotonic() - self._written_at >= self._every_seconds
            self._is_due = self._is_due or bool(steps_due or time_due)

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Lets a plateau schedule take its step in a resumed epoch too; then the boundary has moved."""
        internals.forget_restart(trainer)
        if internals.epoch_is_complete(trainer):
            self.boundary.close()
            self._epoch_ended = True

    def on_train_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Writes the final state; where `max_steps` cut an epoch, that is the last step's."""
        if self._epoch_ended:
            self.boundary.capture_epoch(trainer)
        if self.boundary.is_exact:
            self._write(trainer)

    def on_exception(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Saves the last boundary of a run that breaks off, unless the weights have left it."""
        if self._epoch_ended and internals.is_between_epochs(trainer):
            self.boundary.capture_epoch(trainer)
        line = self._last_words(trainer)
        if is_rank_zero():
            print(line, flush=True)

    def _last_words(self, trainer: lightning.Trainer) -> str:
        if not self.boundary.is_exact:
            kept = f"{self._path} is kept as it was" if self._path.exists() else "there is no checkpoint"
            return f"stopped in the middle of a step: {kept}"
        try:
            self._write(trainer)
        except (UserError, OSError) as error:  # the reason for the stop must not be hidden by its consequence
            return f"stopped without a new checkpoint: {error}"
        saved = f"stopped: step {self.boundary.global_step} is saved in {shortest(self._path)}"
        return f"{saved}; go on with: {Run(self._path.parent.parent).command}"

    def _write(self, trainer: lightning.Trainer) -> None:
        self.save(trainer, self._path)
        self._is_due = False
        self._epoch_ended = False
        self._written_at = time.monotonic()


def _not_finite(weights: dict[str, torch.Tensor]) -> str:
    """The name of the first tensor with a NaN or an infinity, or nothing."""
    floating = {name: value for name, value in weights.items() if value.is_floating_point()}
    return next((name for name, value in floating.items() if not bool(torch.isfinite(value).all())), "")


class VerifiedCheckpointIO(CheckpointIO):
    """Lightning's way to `io.py`, instead of its own (why: `docs/decisions/checkpoints.md`).

    `Trainer(plugins=[VerifiedCheckpointIO()])`.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Saves; see `save_checkpoint`."""
        if storage_options is not None:
            raise TypeError("Showtell's checkpoints are local files; there are no storage options")
        save_checkpoint(checkpoint, path)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Loads; always safely, whatever `weights_only` says. See `load_checkpoint`."""
        return load_checkpoint(path, map_location or "cpu")

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Removes a file; nothing happens when it is gone."""
        Path(path).unlink(missing_ok=True)
