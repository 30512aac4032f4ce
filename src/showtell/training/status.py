"""Where a run stands, and whether a search gives it up.

`status.json` is for a sweep's display, the leaderboard and people. The sweep names study and trial in the environment;
a run without them is not part of a search. A pruned run stops as by early stopping: checkpoints and captions are
written, the exit code is 0, and the status says `pruned`.
"""

import os
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from showtell.checkpointing.best import BestCheckpoint
from showtell.checkpointing.stop import GracefulStop
from showtell.config import Config
from showtell.distributed import broadcast, is_rank_zero
from showtell.errors import UserError, one_line
from showtell.run import Run
from showtell.sweeps.search import STUDY_VARIABLE, TRIAL_VARIABLE, open_trial  # light; open_trial imports optuna

if TYPE_CHECKING:
    from optuna.trial import Trial


class Status(Callback):
    """Keeps the status of a run directory: state, epoch, best value so far and the metrics it came with.

    The seconds of training travel in the checkpoint, so a resumed run goes on counting.
    """

    def __init__(self, config: Config, run_dir: Path, owner: BestCheckpoint, stop: GracefulStop) -> None:
        self.config = config
        self.stop = stop
        self.run = Run(run_dir)
        self.owner = owner
        self.is_on = False
        self.has_stepped = False
        self.pruned: str | None = None  # why a search has given this run up
        self.before = 0.0
        self.began = time.perf_counter()

    def setup(self, *_: Any, **__: Any) -> None:
        """Starts the clock."""
        self.began = time.perf_counter()

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """The run is on: nothing refuses its configuration from here on."""
        if trainer.is_global_zero:
            self.run.accept(self.config)
        self.is_on = True
        self._write(trainer, "running", trainer.current_epoch)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """What an earlier end was worth on the test split says nothing of the next."""
        if trainer.is_global_zero and not self.has_stepped:
            self.run.test_scores.unlink(missing_ok=True)
        self.has_stepped = True

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """One more epoch is done."""
        self._write(trainer, "running", trainer.current_epoch + 1)

    def on_fit_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """The run came to its end."""
        self._write(trainer, "pruned" if self.pruned else "finished", _epochs_begun(trainer), self.pruned)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """The run was stopped, or failed; a resume that never went on leaves the run as it was."""
        if not self.is_on and self.run.candidate_file.is_file():
            return
        if self.is_on and not self.run.directory.is_dir():  # somebody removed it, and no checkpoint was saved there
            return
        stopped = isinstance(exception, KeyboardInterrupt | SystemExit)
        told, kind = one_line(str(exception)), type(exception).__name__
        if told and (stopped or isinstance(exception, UserError)):
            reason = told
        elif stopped and self.stop.signal:
            reason = self.stop.signal.name
        else:
            reason = ": ".join(filter(None, (kind, told)))
        self._write(trainer, "stopped" if stopped else "failed", trainer.current_epoch, reason)

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.before, self.began = state_dict["seconds"], time.perf_counter()

    def _seconds(self) -> float:
        return self.before + time.perf_counter() - self.began

    def _write(self, trainer: pl.Trainer, state: str, epochs_done: int, reason: str | None = None) -> None:
        if not trainer.is_global_zero:
            return
        if (
            self.is_on and not self.run.config_file.is_file()
        ):  # the directory was removed; what is saved there can go on
            self.run.accept(self.config)
        best = self.owner.best
        self.run.record(
            state=state,
            pid=os.getpid(),
            epoch=epochs_done,
            max_epochs=trainer.max_epochs,
            step=trainer.global_step,
            monitor=best.monitor,
            mode=best.mode,
            best=best.value,
            best_epoch=best.epoch,
            metrics=best.metrics,
            seconds=round(self._seconds(), 3),
            reason=reason,
            then=self.config.then,
        )


def _epochs_begun(trainer: pl.Trainer) -> int:
    """From the number of steps: after `max_steps` Lightning counts a cut epoch only if it saw its end itself."""
    batches = getattr(getattr(trainer, "datamodule", None), "batches_per_epoch", 0)
    steps = -(-batches // trainer.accumulate_grad_batches)
    return -(-trainer.global_step // steps) if steps else trainer.current_epoch


def pruning_callbacks(monitor: str, status: Status) -> list[Callback]:
    """The callback of a run that belongs to a search with pruning; none otherwise."""
    if STUDY_VARIABLE not in os.environ or status.run.is_second:  # the search compares first stages, epoch by epoch
        return []
    return [Pruning(open_trial(Path(os.environ[STUDY_VARIABLE]), int(os.environ[TRIAL_VARIABLE])), monitor, status)]


class Pruning(Callback):
    """Reports the monitored metric after each epoch, and stops the run when it does worse than the others did then."""

    def __init__(self, trial: "Trial", monitor: str, status: Status) -> None:
        self.trial = trial
        self.monitor = monitor
        self.status = status

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Reports, and asks; the last epoch is never given up. Rank 0 asks for all."""
        value = trainer.callback_metrics.get(self.monitor)
        if value is not None and broadcast(is_rank_zero() and self._is_hopeless(value.item(), trainer)):
            self.status.pruned = f"worse than the median of the search at epoch {trainer.current_epoch + 1}"
            trainer.should_stop = True

    def _is_hopeless(self, value: float, trainer: pl.Trainer) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a resumed epoch is reported again, and the first report stands
            self.trial.report(value, trainer.current_epoch)
        last = trainer.current_epoch + 1 >= (trainer.max_epochs or 0)
        return not last and self.trial.should_prune()
