"""Lightning's Trainer with Showtell's loggers, checkpoints and callbacks plugged in."""

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DDPStrategy, Strategy

from showtell.checkpointing.best import BestCheckpoint, check_monitor
from showtell.checkpointing.finite import FiniteLoss
from showtell.checkpointing.last import LastCheckpoint, VerifiedCheckpointIO
from showtell.checkpointing.stop import GracefulStop
from showtell.config import Config, monitor_mode
from showtell.data.module import CaptionData, FollowTrainer
from showtell.distributed import get_ranks
from showtell.models.scores import Scores
from showtell.run import Run
from showtell.training.board import Board
from showtell.training.curves import Curves
from showtell.training.logs import LogPoint, build_loggers
from showtell.training.progress import EpochLines, RunProgress
from showtell.training.status import Status, pruning_callbacks


def build_trainer(
    config: Config,
    run_dir: Path,
    data: CaptionData,
    reports: Sequence[Callback],
    stop: GracefulStop,
    resumed_at: LogPoint | None,
    unused_weights: bool = False,
) -> pl.Trainer:
    """A trainer for one run.

    Args:
        config: the run.
        run_dir: where checkpoints and logs go.
        data: whose position follows the trainer.
        reports: callbacks that add metrics and pictures to a validation.
        stop: what signals do to the run.
        resumed_at: the state of the checkpoint that is gone on from.
        unused_weights: whether a step can leave weights without a gradient.
    """
    quieten_lightning()
    settle_gpus()
    training = config.training
    return pl.Trainer(
        accelerator=config.device.accelerator,
        devices=config.device.devices,
        num_nodes=config.device.num_nodes,
        strategy=build_strategy(unused_weights),
        precision=config.device.precision,  # type: ignore[arg-type]
        max_epochs=training.max_epochs,
        max_steps=training.max_steps,
        accumulate_grad_batches=training.accumulate_batches,
        gradient_clip_val=training.gradient_clip or None,
        log_every_n_steps=training.log_every_steps,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=False,  # `RunProgress` is ours
        default_root_dir=run_dir,
        logger=build_loggers(config, run_dir, resumed_at),
        callbacks=build_callbacks(config, run_dir, data, reports, stop),
        # the environment tells ranks that were started before Lightning, by torchrun or by us
        plugins=[VerifiedCheckpointIO(), *([TorchElasticEnvironment()] if get_ranks().size > 1 else [])],
    )


def build_strategy(unused_weights: bool) -> Strategy | str:
    """DDP where there are several ranks; it finds their process group already there."""
    if get_ranks().size == 1:
        return "auto"
    return DDPStrategy(gradient_as_bucket_view=True, find_unused_parameters=unused_weights)


def build_callbacks(
    config: Config, run_dir: Path, data: CaptionData, reports: Sequence[Callback], stop: GracefulStop
) -> list[Callback]:
    """In the order in which they must run: counting first, checkpoints last."""
    training = config.training
    folder = Run(run_dir).checkpoints
    last = LastCheckpoint(
        folder, every_steps=training.checkpoint_every_steps, every_minutes=training.checkpoint_every_minutes
    )
    best = BestCheckpoint(
        folder, last, monitor=training.monitor, mode=monitor_mode(training.monitor),
        window=training.mean_window, patience=training.early_stopping_epochs,
    )  # fmt: skip
    status = Status(config, run_dir, best, stop)
    curves = Curves(training.log_every_steps)
    callbacks = [
        stop,
        FiniteLoss(),
        ExactSteps(data, config.seed),
        curves,
        *reports,
        status,
        Board(config, best),
        RunProgress(curves),
        EpochLines(),
    ]
    return [*callbacks, *pruning_callbacks(best.best.monitor, status), best, last]


def check_monitored(monitor: str, scores: Scores) -> None:
    """Refuses a metric that no validation will log.

    Raises:
        UserError: it names those that will be.
    """
    known = {"val/loss", *Curves.METRICS}
    if monitor not in {*known, "val/cider"} or scores.further:  # what every validation logs needs no rehearsal
        check_monitor(monitor, known | scores.metric_names())


def quieten_lightning() -> None:
    """Silences what Lightning says to everybody; what it says about this run stays."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # the position of the data is in the checkpoint, in CaptionData
    warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")
    warnings.filterwarnings("ignore", "The number of training batches .* is smaller than the logging interval")
    # an encoder's tuned blocks, on purpose
    warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode at the start of training")
    warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated")
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    # of a notebook without ipywidgets, for bars that nobody draws
    warnings.filterwarnings("ignore", "IProgress not found")
    # scores are rank 0's on all ranks, see `Scores`
    warnings.filterwarnings("ignore", "It is recommended to use `self.log.*sync_dist=True")


def settle_gpus() -> None:
    """Where there is no GPU, lets nobody look for one again.

    Adam asks in every step, and as Lightning tells torch to look (`PYTORCH_NVML_BASED_CUDA_CHECK`), the search for a
    library of NVIDIA's begins anew each time.
    """
    if not torch.cuda.is_available():
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"


class ExactSteps(FollowTrainer):
    """Makes a step a function of (seed, epoch, batch, rank), so that a resumed run repeats it bit for bit.

    Nothing of a random generator has to be stored: each step seeds it afresh, for dropout and the like. The position
    in the data moves when a step is finished, never when a batch is loaded.
    """

    def __init__(self, data: CaptionData, seed: int) -> None:
        super().__init__(data)
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seeds the step."""
        position = self.data.position
        seed_generators(step_seed(self.seed, position.epoch, position.batch, trainer.global_rank))


def seed_generators(seed: int) -> None:
    """Seeds the generators that a step draws from.

    `torch.manual_seed` means more: for each kind of accelerator that was not used yet it formats the call stack and
    keeps it for later, which costs a millisecond and grows without end when it is called in every step.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)


def step_seed(seed: int, epoch: int, batch: int, rank: int) -> int:
    """Different for different arguments as long as batch < 2^24 and rank < 2^10; 63 bits."""
    return ((seed * 1_000_003 + epoch) << 34 ^ batch << 10 ^ rank) % 2**63
