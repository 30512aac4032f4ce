"""Each use of Lightning's private parts: when a release changes one, the test of its name says so."""

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import pytorch_lightning as lightning
from tests.checkpointing.toy import Model, Settings, train

from showtell.checkpointing import lightning_internals as internals
from showtell.checkpointing.io import load_checkpoint
from showtell.checkpointing.last import LastCheckpoint


def changed(what: str) -> str:
    return f"pytorch-lightning {lightning.__version__} changed {what}"


@pytest.mark.parametrize(
    ("module", "owner", "name"),
    [
        ("loops.training_epoch_loop", "_TrainingEpochLoop", "_should_accumulate"),
        ("loops.training_epoch_loop", "_TrainingEpochLoop", "_should_check_val_fx"),
        ("loops.training_epoch_loop", "_TrainingEpochLoop", "_num_ready_batches_reached"),
        ("loops.training_epoch_loop", "_TrainingEpochLoop", "_broadcast_sigterm_tensor"),
        ("loops.loop", "_Loop", "restarting"),
        ("loops.progress", "_BaseProgress", "state_dict"),
        ("trainer.connectors.checkpoint_connector", "_CheckpointConnector", "dump_checkpoint"),
        ("trainer.connectors.signal_connector", "_SignalConnector", "_sigterm_notifier_fn"),
    ],
)
def test_the_name_is_there(module, owner, name):
    found = getattr(importlib.import_module(f"pytorch_lightning.{module}"), owner, None)
    assert hasattr(found, name), changed(f"{owner}.{name}")


@pytest.fixture
def seen(tmp_path) -> Callable[..., list[Any]]:
    """What a look at the trainer gave, at each call of a hook."""

    def look(hook: str, at: Callable[[lightning.Trainer], Any], resume: bool = False, **settings: Any) -> list[Any]:
        values: list[Any] = []
        hooks = {hook: lambda model: values.append(at(model.trainer))}
        train(tmp_path, Settings(**settings, hooks=hooks), tmp_path / "last.ckpt" if resume else None)
        return values

    return look


def test_is_accumulating(seen):
    got = seen("on_train_batch_end", internals.is_accumulating, epochs=1, accumulate=3)
    assert got == [True, True, False, True, True, False, False], changed("_TrainingEpochLoop._should_accumulate")


@pytest.mark.parametrize("stops", [False, True])
def test_validation_follows(seen, stops):
    def look(trainer: lightning.Trainer) -> bool:
        trainer.should_stop = stops and trainer.global_step == 1
        follows = internals.validation_follows(trainer)
        assert trainer.should_stop == (stops and trainer.global_step == 1)
        trainer.should_stop = False
        return follows

    got = seen("on_train_batch_end", look, epochs=1, val_every=0.43)
    assert got == [False, False, True, False, False, True, False], changed("_TrainingEpochLoop._should_check_val_fx")


def test_epoch_is_complete(seen):
    got = seen("on_train_batch_start", internals.epoch_is_complete, epochs=1)
    got += seen("on_train_epoch_end", internals.epoch_is_complete, max_steps=17, epochs=-1)
    assert got == [False] * 6 + [True] * 3 + [False], changed("_TrainingEpochLoop._num_ready_batches_reached")


def test_is_between_epochs(seen, monkeypatch):
    got = seen("on_train_batch_start", internals.is_between_epochs, epochs=2)
    monkeypatch.setattr(Model, "on_train_start", lambda self: self._hook("on_train_start"), raising=False)
    got += seen("on_train_start", internals.is_between_epochs, epochs=3, resume=True)
    assert got == [False] * 14 + [True], changed("_FitLoop.epoch_progress")


def test_forget_restart(seen, monkeypatch):
    def look(trainer: lightning.Trainer) -> list[bool]:
        loops = [trainer.fit_loop, trainer.fit_loop.epoch_loop, trainer.fit_loop.epoch_loop.val_loop]
        before = [loop.restarting for loop in loops]
        internals.forget_restart(trainer)
        return before + [loop.restarting for loop in loops]

    seen("training_step", lambda trainer: None, max_steps=10, epochs=-1)
    monkeypatch.setattr(Model, "on_train_start", lambda self: self._hook("on_train_start"), raising=False)
    assert seen("on_train_start", look, resume=True) == [[True] * 3 + [False] * 3], changed("_Loop.restarting")


def test_set_max_steps(seen):
    def extend(trainer: lightning.Trainer) -> int:
        return internals.set_max_steps(trainer, 5)

    assert seen("training_step", extend, max_steps=3, epochs=-1) == [3, 5, 5, 5, 5], changed(
        "_TrainingEpochLoop.max_steps"
    )


def test_whole_state(seen, tmp_path):
    (state,) = seen("on_train_epoch_end", internals.whole_state, epochs=1)
    assert state.keys() == load_checkpoint(tmp_path / "last.ckpt").keys(), changed(
        "_CheckpointConnector.dump_checkpoint"
    )


def test_request_stop(seen, tmp_path):
    with pytest.raises(SystemExit):
        seen("on_train_batch_end", lambda t: internals.request_stop(t) if t.global_step == 5 else None)
    assert load_checkpoint(tmp_path / "last.ckpt")["global_step"] == 5, changed("_SignalConnector.received_sigterm")


def test_keep_ranks_silent(seen):
    def look(trainer: lightning.Trainer) -> None:
        internals.keep_ranks_silent(trainer)
        for owner, name, user in (
            (trainer._signal_connector, "_sigterm_notifier_fn", "register_signal_handlers"),
            (trainer.fit_loop.epoch_loop, "_broadcast_sigterm_tensor", "advance"),
        ):
            assert getattr(owner, name)(1) is None
            assert name in getattr(type(owner), user).__code__.co_names, changed(f"{type(owner).__name__}.{name}")

    seen("on_train_epoch_end", look, epochs=1)


def test_a_name_that_is_gone_is_an_error_and_not_a_silent_nothing():
    with pytest.raises(RuntimeError, match=changed("object._gone")):
        internals._replace(object(), "_gone", None)


def test_counters_are_spelled_as_lightning_does(tmp_path, monkeypatch):
    seen = []

    def compare(self: LastCheckpoint, trainer: lightning.Trainer, *_: Any) -> None:
        counters = internals.LoopCounters(trainer)
        counters.copy()
        seen.append(counters.spelled() == trainer.fit_loop.state_dict())

    monkeypatch.setattr(LastCheckpoint, "on_train_batch_start", compare)
    train(tmp_path, Settings())
    assert all(seen) and len(seen) == 21, changed("_Loop.state_dict")


def test_cut_validation_and_finished_epoch_are_counters_of_lightning(seen, tmp_path):
    """`expect_validation` and `finish_epoch` edit entries that must be there."""
    (state,) = seen("on_train_epoch_end", internals.whole_state, epochs=1)
    counters = internals.fit_counters(state)
    internals.expect_validation(counters)
    internals.finish_epoch(counters)
    assert internals.validation_is_due(state), changed("the counters in checkpoint['loops']")
    assert set(counters["epoch_progress"]["current"].values()) == {counters["epoch_progress"]["current"]["processed"]}
