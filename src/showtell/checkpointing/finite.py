"""A loss that is not finite ends the run at that step, before the optimizer has used it.

Stock Lightning trains on to the end without a word. The check must not make a GPU wait: the loss is copied to the host
in the background before the backward pass, and looked at just before the optimizer's step, when the backward pass is
still running. So the weights are untouched, and the last step boundary can be saved as the last finite state. Under
several processes the loss is that of all ranks (`models.objective.ddp_loss`), so all of them raise at the same step.
"""

import math
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback

from showtell.distributed import all_gather
from showtell.errors import UserError

_SHOWN = 8


class NonFiniteLossError(UserError):
    """The loss or the weights are NaN or infinite; the message names step and pictures."""


class FiniteLoss(Callback):
    """Raises `NonFiniteLossError` at the step whose loss is NaN or infinite."""

    def __init__(self) -> None:
        self._batch: Any = None
        self._pending: list[tuple[torch.Tensor, torch.cuda.Event | None, Any]] = []

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remembers the batch, to name its pictures."""
        self._batch = batch

    def on_before_backward(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, loss: torch.Tensor
    ) -> None:
        """Asks whether the loss is finite, without waiting for the answer."""
        value, event = loss.detach(), None
        if value.is_cuda:
            value = torch.empty_like(value, device="cpu", pin_memory=True).copy_(value, non_blocking=True)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
        self._pending.append((value, event, self._batch))

    def on_before_optimizer_step(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Looks at the answers of all batches that this step is made of."""
        pending, self._pending = self._pending, []
        for loss, event, batch in pending:
            if event is not None:
                event.synchronize()
            if not math.isfinite(loss.item()):
                raise NonFiniteLossError(
                    f"the loss is not finite at step {trainer.global_step + 1}, in the batch with {_pictures(batch)}; "
                    "look at their captions, lower training.learning_rate or set training.gradient_clip"
                )


def _pictures(batch: Any) -> str:
    """The batch's picture ids in words, those of all ranks."""
    ids = batch.get("picture_ids") if isinstance(batch, dict) else None
    if ids is None:
        return "unknown pictures"
    numbers = [int(number) for part in all_gather(ids.reshape(-1).tolist()) for number in part]
    more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
    return f"the pictures {', '.join(map(str, numbers[:_SHOWN]))}{more}"
