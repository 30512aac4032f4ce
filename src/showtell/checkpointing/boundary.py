"""The last step boundary: the one moment whose state a checkpoint may hold.

A run is resumed exactly only from the state between two optimizer steps. Signals, exceptions and the wish to
save come at any other moment: half-way through a batch, inside a window of accumulated gradients, during
validation. So the small state (loop counters, data position, schedules, callbacks) is copied at every step's
end, and a checkpoint is that copy plus the live weights and optimizer, which do not change until the next
optimizer step; `is_exact` tells when they have. Copying the weights at every step instead would need no such
flag, and cost more than the step itself.

A resumed Lightning (2.6.6) continues from its loop counters, and three of its ways are not exact. They are
put right here: a boundary that validation follows is stored as "validation was cut", so that it runs again
(Lightning would skip it); a finished epoch is stored as finished (with `max_steps` Lightning would play an
empty epoch); and a plateau schedule takes its step at the end of a resumed epoch (Lightning leaves it out).
"""

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.loops.loop import _Loop
from pytorch_lightning.loops.progress import _BaseProgress
from pytorch_lightning.trainer import call

_STEP, _VALIDATION_DUE, _EPOCH_DONE = range(3)
_FIT = "fit_loop"
_EPOCHS = "epoch_progress"
_BATCHES = "epoch_loop.batch_progress"
_VALIDATION = "epoch_loop.val_loop.batch_progress"
_COUNTER_NAMES = ("ready", "started", "processed", "completed")


class StepBoundary:
    """The small state of the last boundary, and how it becomes a checkpoint."""

    def __init__(self) -> None:
        self.is_exact = False
        self.global_step = 0
        self._state: dict[str, Any] = {}
        self._counters: _Counters | None = None
        self._restored: dict[str, Any] | None = None
        self._kind = _STEP

    def capture_step(self, trainer: lightning.Trainer) -> bool:
        """Copies the small state after an optimizer step; call it at the very end of `on_train_batch_end`.

        Returns:
            Whether this is a boundary: inside a window of accumulated gradients it is not.
        """
        epoch_loop = trainer.fit_loop.epoch_loop
        if epoch_loop._should_accumulate():
            return False
        self._capture(trainer)
        self._kind = _VALIDATION_DUE if _validation_follows(trainer) else _STEP
        return True

    def capture_epoch(self, trainer: lightning.Trainer) -> None:
        """Copies the small state when an epoch is over with all that belongs to it."""
        self._capture(trainer)
        self._kind = _EPOCH_DONE

    def restore(self, trainer: lightning.Trainer, checkpoint: dict[str, Any]) -> None:
        """Takes the boundary that a run is resumed from; it may be saved again before the first step."""
        names = [
            "epoch",
            "global_step",
            "callbacks",
            "lr_schedulers",
            *(type(owner).__qualname__ for owner in _owners(trainer)),
        ]
        self._state = _copied({name: checkpoint[name] for name in names if name in checkpoint})
        self._restored = _copied(checkpoint["loops"][_FIT])
        self.global_step = int(checkpoint["global_step"])
        self.is_exact = True

    def close(self) -> None:
        """The live weights begin to differ from the boundary: nothing can be saved until the next one."""
        self.is_exact = False

    def checkpoint(self, trainer: lightning.Trainer) -> dict[str, Any]:
        """The boundary as a checkpoint; tensors are the live ones, not copies."""
        assert self.is_exact, "the weights have left the boundary"
        content = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        content.update(self._state)
        content["loops"][_FIT] = self._loop_state()
        return content

    def _capture(self, trainer: lightning.Trainer) -> None:
        state: dict[str, Any] = {
            "epoch": trainer.current_epoch,
            "global_step": trainer.global_step,
            "callbacks": call._call_callbacks_state_dict(trainer),
            "lr_schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        }
        for owner in _owners(trainer):
            if own := owner.state_dict():
                state[type(owner).__qualname__] = own
        self._state = _copied(state)
        if self._counters is None:
            self._counters = _Counters(trainer.fit_loop)
        self._counters.copy()
        self._restored = None
        self.global_step = trainer.global_step
        self.is_exact = True

    def _loop_state(self) -> dict[str, Any]:
        if self._restored is not None:
            return self._restored
        assert self._counters is not None
        loops = self._counters.spelled()
        if self._kind == _VALIDATION_DUE:
            _expect_validation(loops)
        elif self._kind == _EPOCH_DONE:
            for counters in loops[_EPOCHS].values():
                counters.update(dict.fromkeys(_COUNTER_NAMES, counters["processed"]))
        return loops


def _expect_validation(loops: dict[str, Any]) -> None:
    """Turns the counters into those of a run whose validation was cut before its first batch."""
    for extent in ("total", "current"):
        batches = loops[_BATCHES][extent]
        batches["completed"] = batches["processed"]
        loops[_VALIDATION][extent].update(ready=1, started=1, processed=0, completed=0)
    loops[_VALIDATION]["is_last_batch"] = False


class _Counters:
    """The counters of all loops: copied in a few microseconds, spelled out for a file on demand.

    `loop.state_dict()` says the same through `dataclasses.asdict`, which would cost 0.2 ms in every step.
    """

    def __init__(self, root: _Loop) -> None:
        self._root = root
        self._loops = list(_inner_loops(root))
        self._progress = [part for loop in self._loops for part in _inner_progress(vars(loop).values())]
        self._values: dict[int, dict[str, Any]] = {}

    def copy(self) -> None:
        """Remembers the present values."""
        self._values = {id(part): vars(part).copy() for part in self._progress}
        # the outermost loop would ask the loaders, and the data position is the data module's business
        self._values[id(self._root)] = {}
        self._values.update((id(loop), loop.on_save_checkpoint()) for loop in self._loops[1:])

    def spelled(self) -> dict[str, Any]:
        """The remembered values in the form of `loop.state_dict()`."""
        return self._spell_loop(self._root, "")

    def _spell_loop(self, loop: _Loop, prefix: str) -> dict[str, Any]:
        state: dict[str, Any] = {prefix + "state_dict": dict(self._values[id(loop)])}
        for name, value in vars(loop).items():
            if isinstance(value, _BaseProgress):
                state[prefix + name] = self._spell_progress(value)
            elif isinstance(value, _Loop):
                state.update(self._spell_loop(value, f"{prefix}{name}."))
        return state

    def _spell_progress(self, part: _BaseProgress) -> dict[str, Any]:
        values = self._values[id(part)].items()
        return {name: self._spell_progress(item) if isinstance(item, _BaseProgress) else item for name, item in values}


def _inner_loops(loop: _Loop) -> Iterator[_Loop]:
    yield loop
    for value in vars(loop).values():
        if isinstance(value, _Loop):
            yield from _inner_loops(value)


def _inner_progress(values: Iterable[Any]) -> Iterator[_BaseProgress]:
    for value in values:
        if isinstance(value, _BaseProgress):
            yield value
            yield from _inner_progress(vars(value).values())


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


def _validation_follows(trainer: lightning.Trainer) -> bool:
    """Whether the plan has a validation after the present batch. An early stop's is not planned."""
    fetcher = trainer.fit_loop._data_fetcher
    assert fetcher is not None
    stops = trainer.should_stop
    trainer.should_stop = False
    try:
        return bool(trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher))
    finally:
        trainer.should_stop = stops


def validation_is_due(checkpoint: dict[str, Any]) -> bool:
    """Whether a checkpoint was taken between a step and the validation that follows it."""
    counters = checkpoint["loops"][_FIT][_VALIDATION]["current"]
    return bool(counters["ready"] > counters["processed"])


def epoch_is_over(trainer: lightning.Trainer) -> bool:
    """Whether the loops stand between two epochs, at least one of which is done."""
    values = set(vars(trainer.fit_loop.epoch_progress.current).values())
    return len(values) == 1 and values != {0}


def epoch_is_complete(trainer: lightning.Trainer) -> bool:
    """Whether the present epoch has played all its batches, and not only as many as `max_steps` allowed."""
    return bool(trainer.fit_loop.epoch_loop._num_ready_batches_reached())


def forget_restart(trainer: lightning.Trainer) -> None:
    """Tells all loops that they are no longer in their first, resumed round."""
    vars(_Loop)["restarting"].fset(trainer.fit_loop, False)  # the fit loop's own setter may refuse
