"""All that Showtell uses of Lightning beyond its public interface, and nothing else: the one door to it.

Exact resume needs more than Lightning offers. Each use stands here as a small function, and `tests/checkpointing/
test_lightning_internals.py` has a test for each that tells which of them a new release broke.

A resumed Lightning (2.6.6) continues from its loop counters, and three of its ways are not exact. They are put right by
what counters are stored and by `forget_restart`: a boundary that validation follows is stored as "validation was cut",
so that it runs again (Lightning would skip it); a finished epoch is stored as finished (with `max_steps` Lightning
would play an empty epoch); and a plateau schedule takes its step at the end of a resumed epoch (Lightning leaves it
out).
"""

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.loops.loop import _Loop
from pytorch_lightning.loops.progress import _BaseProgress

_FIT = "fit_loop"
_EPOCHS = "epoch_progress"
_BATCHES = "epoch_loop.batch_progress"
_VALIDATION = "epoch_loop.val_loop.batch_progress"
_COUNTER_NAMES = ("ready", "started", "processed", "completed")


def is_accumulating(trainer: lightning.Trainer) -> bool:
    """Whether the present batch's gradients wait for those of the next ones."""
    return bool(trainer.fit_loop.epoch_loop._should_accumulate())


def validation_follows(trainer: lightning.Trainer) -> bool:
    """Whether the plan has a validation after the present batch. An early stop's is not planned."""
    fetcher = trainer.fit_loop._data_fetcher
    assert fetcher is not None
    stops = trainer.should_stop
    trainer.should_stop = False
    try:
        return bool(trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher))
    finally:
        trainer.should_stop = stops


def is_between_epochs(trainer: lightning.Trainer) -> bool:
    """Whether the loops stand between two epochs, at least one of which is done."""
    values = set(vars(trainer.fit_loop.epoch_progress.current).values())
    return len(values) == 1 and values != {0}


def epoch_is_complete(trainer: lightning.Trainer) -> bool:
    """Whether the present epoch has played all its batches, and not only as many as `max_steps` allowed."""
    return bool(trainer.fit_loop.epoch_loop._num_ready_batches_reached())


def forget_restart(trainer: lightning.Trainer) -> None:
    """Tells all loops that they are no longer in their first, resumed round."""
    vars(_Loop)["restarting"].fset(trainer.fit_loop, False)  # the fit loop's own setter may refuse


def set_max_steps(trainer: lightning.Trainer, steps: int) -> int:
    """Moves the end of the training; gives the number of steps that it was at before."""
    loop = trainer.fit_loop.epoch_loop
    before, loop.max_steps = loop.max_steps, steps
    return before


def whole_state(trainer: lightning.Trainer) -> dict[str, Any]:
    """What Lightning would write now; tensors are the live ones, not copies."""
    return trainer._checkpoint_connector.dump_checkpoint(weights_only=False)


def callback_states(trainer: lightning.Trainer) -> dict[str, Any]:
    """The state of each callback that has one, under Lightning's key for it."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return {callback.state_key: state for callback in callbacks if (state := callback.state_dict())}


def request_stop(trainer: lightning.Trainer) -> None:
    """Makes Lightning stop after the present batch as it does after SIGTERM: loggers finalized, workers joined."""
    _replace(trainer._signal_connector, "received_sigterm", True)


def keep_ranks_silent(trainer: lightning.Trainer) -> None:
    """Keeps Lightning from telling other ranks of a signal: in its handler, where they do not answer."""
    _replace(trainer._signal_connector, "_sigterm_notifier_fn", _do_nothing)
    _replace(trainer.fit_loop.epoch_loop, "_broadcast_sigterm_tensor", _do_nothing)


def _replace(owner: object, name: str, value: object) -> None:
    if not hasattr(owner, name):  # a new name would make this a silent nothing
        raise RuntimeError(f"pytorch-lightning {version('pytorch-lightning')} changed {type(owner).__name__}.{name}")
    setattr(owner, name, value)


def _do_nothing(*_: Any) -> None:
    pass


class LoopCounters:
    """The counters of all loops: copied in a few microseconds, spelled out for a file on demand.

    `loop.state_dict()` says the same through `dataclasses.asdict`, which would cost 0.2 ms in every step.
    """

    def __init__(self, trainer: lightning.Trainer) -> None:
        self._root: _Loop = trainer.fit_loop
        self._loops = list(_inner_loops(self._root))
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


def fit_counters(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The counters of training's loops in a checkpoint."""
    counters: dict[str, Any] = checkpoint["loops"][_FIT]
    return counters


def put_fit_counters(checkpoint: dict[str, Any], counters: dict[str, Any]) -> None:
    """Replaces them."""
    checkpoint["loops"][_FIT] = counters


def expect_validation(counters: dict[str, Any]) -> None:
    """Turns the counters into those of a run whose validation was cut before its first batch."""
    for extent in ("total", "current"):
        batches = counters[_BATCHES][extent]
        batches["completed"] = batches["processed"]
        counters[_VALIDATION][extent].update(ready=1, started=1, processed=0, completed=0)
    counters[_VALIDATION]["is_last_batch"] = False


def finish_epoch(counters: dict[str, Any]) -> None:
    """Turns the counters of a run at the end of an epoch into those between two epochs."""
    for progress in counters[_EPOCHS].values():
        progress.update(dict.fromkeys(_COUNTER_NAMES, progress["processed"]))


def validation_is_due(checkpoint: dict[str, Any]) -> bool:
    """Whether a checkpoint was taken between a step and the validation that follows it."""
    progress = fit_counters(checkpoint)[_VALIDATION]["current"]
    return bool(progress["ready"] > progress["processed"])
