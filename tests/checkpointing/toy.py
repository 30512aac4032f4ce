"""A small real Lightning run whose state is a pure function of its settings, to be killed and resumed.

The data module keeps its own (epoch, batch) position, the order is a function of (seed, epoch), dropout is
seeded per batch.
"""

import hashlib
import json
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from torch.utils.data import DataLoader

from showtell.checkpointing.best import BestCheckpoint
from showtell.checkpointing.finite import FiniteLoss
from showtell.checkpointing.last import LastCheckpoint, VerifiedCheckpointIO
from showtell.checkpointing.stop import GracefulStop

torch.set_num_threads(1)
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
ROWS, BATCH = 28, 4


@dataclass
class Settings:
    epochs: int = 3
    max_steps: int = -1
    accumulate: int = 1
    workers: int = 0
    schedule: str = "cosine"
    val_every: float = 1.0
    val_batches: int = 2
    every_steps: int = 1
    seed_batches: bool = True
    count_batches: bool = True
    hooks: dict[str, Callable[["Model"], None]] = field(default_factory=dict)


class Rows(torch.utils.data.Dataset):
    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        row = torch.randn(6, generator=torch.Generator().manual_seed(index))
        return {"picture_ids": torch.tensor(100 + index), "x": row, "y": row.sum()}

    def __len__(self) -> int:
        return ROWS


class Order:
    """Batches of one epoch, from `skip` on."""

    epoch = skip = 0

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1000 + self.epoch)).tolist()
        batches = [order[i : i + BATCH] for i in range(0, ROWS, BATCH)]
        yield from batches[self.skip :]

    def __len__(self) -> int:
        return ROWS // BATCH


class Loader:
    def __init__(self, loader: DataLoader, order: Order, position: list[int]) -> None:
        self.loader, self.order, self.position, self.used = loader, order, position, False

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Any]:
        if self.used or self.position[1] >= len(self.order):
            self.position[:] = [self.position[0] + 1, 0]
        self.used = False
        self.order.epoch, self.order.skip = self.position
        return self._consume(iter(self.loader))

    def _consume(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            self.position[1] += 1
            self.used = True
            yield batch


class Data(lightning.LightningDataModule):
    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings, self.position = settings, [0, 0]

    def train_dataloader(self) -> Loader:
        order = Order()
        loader = DataLoader(
            Rows(), batch_sampler=order, num_workers=self.settings.workers, generator=torch.Generator().manual_seed(1)
        )
        return Loader(loader, order, self.position)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(Rows(), batch_size=14)

    def state_dict(self) -> dict[str, Any]:
        return {"position": list(self.position)} if self.settings.count_batches else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position[:] = state["position"]


class Model(lightning.LightningModule):
    def __init__(self, settings: Settings, directory: Path) -> None:
        super().__init__()
        self.settings, self.directory = settings, directory
        self.net = torch.nn.Sequential(
            torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1)
        )

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if self.settings.seed_batches:
            epoch, position = self.trainer.datamodule.position
            torch.manual_seed(epoch * 1000 + position)
        self._hook("on_train_batch_start")

    def _hook(self, name: str) -> None:
        if name in self.settings.hooks:
            self.settings.hooks[name](self)

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        self._hook("training_step")
        loss = torch.nn.functional.mse_loss(self.net(batch["x"]).squeeze(1), batch["y"])
        self.log("train/loss", loss)
        self._write("train", self.trainer.fit_loop.epoch_loop.total_batch_idx, loss)
        return loss

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        self._hook("validation_step")
        loss = torch.nn.functional.mse_loss(self.net(batch["x"]).squeeze(1), batch["y"])
        self.log("val/loss", loss, batch_size=14)
        self._write(f"val{batch_idx}", self.global_step, loss)

    def _write(self, kind: str, step: int, loss: torch.Tensor) -> None:
        if not self.trainer.sanity_checking:
            with open(self.directory / "curve.jsonl", "a") as file:
                rate = self.optimizers().param_groups[0]["lr"]
                file.write(json.dumps([kind, step, self.current_epoch, float(loss.detach()).hex(), rate]) + "\n")

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self._hook("on_before_optimizer_step")

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self._hook("optimizer_step")

    def on_train_batch_end(self, *_: Any) -> None:
        self._hook("on_train_batch_end")

    def on_train_epoch_end(self) -> None:
        self._hook("on_train_epoch_end")

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.02)
        if self.settings.schedule == "plateau":
            schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.9, factor=0.5)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": "val/loss"}}
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["showtell"] = {"config": {"seed": 1}, "vocabulary": ["<start>"]}


def trainer_of(settings: Settings, directory: Path, stop: GracefulStop) -> lightning.Trainer:
    last = LastCheckpoint(directory, every_steps=settings.every_steps)
    return lightning.Trainer(
        accelerator="cpu",
        max_epochs=settings.epochs,
        max_steps=settings.max_steps,
        accumulate_grad_batches=settings.accumulate,
        val_check_interval=settings.val_every,
        limit_val_batches=settings.val_batches,
        log_every_n_steps=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=directory,
        plugins=[VerifiedCheckpointIO()],
        callbacks=[stop, FiniteLoss(), BestCheckpoint(directory, last), last],
    )


def train(directory: Path, settings: Settings, resume: Path | None = None, seed: int = 7) -> dict[str, Any]:
    """Trains, and returns all that an interrupted run has to reproduce."""
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model, data, stop = Model(settings, directory), Data(settings), GracefulStop()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*(does not have many workers|ended before the epoch ended|leaf_spec)")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        with stop:
            trainer = trainer_of(settings, directory, stop)
            trainer.fit(model, datamodule=data, ckpt_path=resume)
    return outcome(trainer, directory)


def outcome(trainer: lightning.Trainer, directory: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    for value in trainer.model.state_dict().values():
        digest.update(value.numpy().tobytes())
    for state in trainer.optimizers[0].state_dict()["state"].values():
        for value in state.values():
            digest.update(torch.as_tensor(value).numpy().tobytes())
    loops = trainer.fit_loop.state_dict()
    return {
        "state": digest.hexdigest(),
        "schedule": {
            k: v for k, v in trainer.lr_scheduler_configs[0].scheduler.state_dict().items() if k != "_last_lr"
        },
        "rate": trainer.optimizers[0].param_groups[0]["lr"],
        "best": next(c.best.value for c in trainer.callbacks if isinstance(c, BestCheckpoint)),
        "step": trainer.global_step,
        "epoch": loops["epoch_progress"]["current"]["processed"],
        "stepped": loops["epoch_loop.state_dict"]["_batches_that_stepped"],
        "position": trainer.datamodule.position[0] * len(Order()) + trainer.datamodule.position[1],
        "curve": curve(directory),
    }


def curve(directory: Path) -> dict[str, Any]:
    """The last value that was written for each step."""
    rows = [json.loads(line) for line in (directory / "curve.jsonl").read_text().splitlines()]
    return {f"{kind}/{step}": rest for kind, step, *rest in rows}


def kill_in_child(directory: Path, settings: Settings, hook: str, at: int, resume: Path | None = None) -> int:
    """Trains in a forked child that kills itself at the `at`-th call of a hook; returns its status."""
    calls = 0

    def kill(_: Model) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            settings.hooks = {hook: kill}
            train(directory, settings, resume, seed=99 if resume else 7)
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]
