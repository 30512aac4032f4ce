"""The last step boundary: the one moment whose state a checkpoint may hold.

A run is resumed exactly only from the state between two optimizer steps. Signals, exceptions and the wish to save come
at any other moment: half-way through a batch, inside a window of accumulated gradients, during validation. So the small
state (loop counters, data position, schedules, callbacks) is copied at every step's end, and a checkpoint is that copy
plus the live weights and optimizer, which do not change until the next optimizer step; `is_exact` tells when they have.
Copying the weights at every step instead would need no such flag, and cost more than the step itself.
"""

import copy
from enum import Enum
from typing import Any

import pytorch_lightning as lightning
import torch

from showtell.checkpointing import lightning_internals as internals

_Kind = Enum("_Kind", ["STEP", "VALIDATION_DUE", "EPOCH_DONE"])


class StepBoundary:
    """The small state of the last boundary, and how it becomes a checkpoint."""

    def __init__(self) -> None:
        self.is_exact = False
        self.global_step = 0
        self._state: dict[str, Any] = {}
        self._counters: internals.LoopCounters | None = None
        self._restored: dict[str, Any] | None = None
        self._kind = _Kind.STEP

    def capture_step(self, trainer: lightning.Trainer) -> bool:
        """Copies the small state after an optimizer step; call it at the very end of `on_train_batch_end`.

        Returns:
            Whether this is a boundary: inside a window of accumulated gradients it is not.
        """
        if internals.is_accumulating(trainer):
            return False
        self._capture(trainer)
        self._kind = _Kind.VALIDATION_DUE if internals.validation_follows(trainer) else _Kind.STEP
        return True

    def capture_epoch(self, trainer: lightning.Trainer) -> None:
        """Copies the small state when an epoch is over with all that belongs to it."""
        self._capture(trainer)
        self._kind = _Kind.EPOCH_DONE

    def restore(self, trainer: lightning.Trainer, checkpoint: dict[str, Any]) -> None:
        """Takes the boundary that a run is resumed from; it may be saved again before the first step."""
        owners = [type(owner).__qualname__ for owner in _owners(trainer)]
        names = ["epoch", "global_step", "callbacks", "lr_schedulers", *owners]
        self._state = _copied({name: checkpoint[name] for name in names if name in checkpoint})
        self._restored = _copied(internals.fit_counters(checkpoint))
        self.global_step = int(checkpoint["global_step"])
        self.is_exact = True

    def close(self) -> None:
        """The live weights begin to differ from the boundary: nothing can be saved until the next one."""
        self.is_exact = False

    def checkpoint(self, trainer: lightning.Trainer) -> dict[str, Any]:
        """The boundary as a checkpoint; tensors are the live ones, not copies."""
        assert self.is_exact, "the weights have left the boundary"
        content = internals.whole_state(trainer)
        content.update(self._state)
        internals.put_fit_counters(content, self._loop_state())
        return content

    def _capture(self, trainer: lightning.Trainer) -> None:
        state: dict[str, Any] = {
            "epoch": trainer.current_epoch,
            "global_step": trainer.global_step,
            "callbacks": internals.callback_states(trainer),
            "lr_schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        }
        for owner in _owners(trainer):
            if own := owner.state_dict():
                state[type(owner).__qualname__] = own
        self._state = _copied(state)
        if self._counters is None:
            self._counters = internals.LoopCounters(trainer)
        self._counters.copy()
        self._restored = None
        self.global_step = trainer.global_step
        self.is_exact = True

    def _loop_state(self) -> dict[str, Any]:
        if self._restored is not None:
            return self._restored
        assert self._counters is not None
        loops = self._counters.spelled()
        if self._kind is _Kind.VALIDATION_DUE:
            internals.expect_validation(loops)
        elif self._kind is _Kind.EPOCH_DONE:
            internals.finish_epoch(loops)
        return loops


def _owners(trainer: lightning.Trainer) -> list[Any]:
    """Those whose state Lightning stores under the name of their class."""
    datamodule = getattr(trainer, "datamodule", None)
    return [owner for owner in (datamodule, trainer.precision_plugin) if owner is not None]


def _copied(value: Any) -> Any:
    """A copy of plain containers and tensors; quicker than `copy.deepcopy`."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(item) for item in value)
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return value if isinstance(value, (int, float, str, bool, type(None))) else copy.deepcopy(value)
