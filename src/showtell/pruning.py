"""Ends a run of a search early when it does worse than the others did at the same epoch.

The sweep names study and trial in the environment; a run without them is not part of a search and gets no callback. The
run stops as by early stopping: checkpoints and captions are written, the exit code is 0, and `status.json` says
`pruned`.
"""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from showtell.ranks import from_first, is_first
from showtell.run import Run

if TYPE_CHECKING:
    from optuna.trial import Trial


def pruning_callbacks(monitor: str, run_dir: Path) -> list[Callback]:
    """The callback of a run that belongs to a search with pruning; none otherwise. It must come after `Status`."""
    from showtell.sweeps.search import (
        STUDY_VARIABLE,
        TRIAL_VARIABLE,
        open_trial,
    )  # light; optuna is imported by open_trial

    if STUDY_VARIABLE not in os.environ:
        return []
    return [Pruning(open_trial(Path(os.environ[STUDY_VARIABLE]), int(os.environ[TRIAL_VARIABLE])), monitor, run_dir)]


class Pruning(Callback):
    """Reports the monitored metric after each epoch, and stops the run when the study gives it up."""

    def __init__(self, trial: "Trial", monitor: str, run_dir: Path) -> None:
        self.trial = trial
        self.monitor = monitor
        self.run = Run(run_dir)
        self.pruned = False

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reports, and asks; the last epoch is never given up. Rank 0 asks for all."""
        value = trainer.callback_metrics.get(self.monitor)
        if value is None:
            return
        self.pruned = from_first(is_first() and self._is_hopeless(value.item(), trainer))
        trainer.should_stop = trainer.should_stop or self.pruned

    def _is_hopeless(self, value: float, trainer: pl.Trainer) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a resumed epoch is reported again, and the first report stands
            self.trial.report(value, trainer.current_epoch)
        last = trainer.current_epoch + 1 >= (trainer.max_epochs or 0)
        return not last and self.trial.should_prune()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Says so in `status.json`."""
        if self.pruned and trainer.is_global_zero:
            reason = f"worse than the median of the search at epoch {trainer.current_epoch}"
            self.run.record(state="pruned", reason=reason)
