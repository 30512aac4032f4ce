"""The curves of a run.

Everything per step is measured here and handed to the loggers directly; `docs/decisions/logging.md` says why.
"""

import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor


class Curves(Callback):
    """Logs loss, gradient norm, learning rate and speed every `every` steps, perplexity and epoch means each epoch."""

    METRICS = frozenset({"val/perplexity", "train/epoch_loss"})  # per epoch, fit to be monitored

    def __init__(self, every: int) -> None:
        self.every = every
        self.loss_sum: Tensor | float = 0.0
        self.tokens = 0
        self.captions = 0
        self.since = 0.0
        self.gradient_norm: Tensor | None = None
        self.newest_loss: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Starts the clock."""
        self.captions, self.since = 0, time.perf_counter()

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Takes the norm of the gradient, before it is clipped, in the steps that are logged."""
        if self._is_logged(trainer):
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            self.gradient_norm = torch.nn.utils.get_total_norm(gradients)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: dict[str, Any], batch_idx: int
    ) -> None:
        """Counts, and logs when it is time."""
        loss = outputs["loss"].detach()
        captions, length = batch["captions"].shape
        captions = batch.get("captions_on_all_ranks", captions)  # whose loss it is
        self.loss_sum = self.loss_sum + loss * (captions * length)
        self.tokens += captions * length
        self.captions += captions
        if self.gradient_norm is None:
            return
        now = time.perf_counter()
        rate = self.captions / max(now - self.since, 1e-9)
        distinct = len(torch.unique(batch["picture_ids"])) / len(batch["picture_ids"])
        self.newest_loss = loss.item()
        metrics = {
            "train/loss": self.newest_loss,
            "train/gradient_norm": self.gradient_norm.item(),
            "train/learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "train/captions_per_second": rate,
            "train/pictures_per_second": rate * distinct,
            "epoch": trainer.current_epoch,
        }
        metrics |= {f"train/{name}": float(value) for name, value in outputs.items() if name != "loss"}
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step - 1)  # Lightning counts from 0 too
        self.gradient_norm, self.captions, self.since = None, 0, now

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Adds perplexity and the epoch's mean training loss to what validation logs."""
        loss = trainer.callback_metrics.get("val/loss")
        if loss is not None:
            pl_module.log("val/perplexity", loss.exp())
        if self.tokens:
            pl_module.log("train/epoch_loss", self.loss_sum / self.tokens, sync_dist=True)

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Begins the next epoch's mean: here and not at its start, where a resumed epoch has its sum already."""
        self.loss_sum, self.tokens = 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        """The epoch's sum so far, so that a resumed epoch logs the same mean."""
        return {"loss_sum": float(self.loss_sum), "tokens": self.tokens}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a checkpoint's sum."""
        self.loss_sum, self.tokens = torch.tensor(state_dict["loss_sum"]), state_dict["tokens"]

    def _is_logged(self, trainer: pl.Trainer) -> bool:
        return (trainer.global_step + 1) % self.every == 0
