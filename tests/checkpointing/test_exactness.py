"""A run that is stopped or killed anywhere and resumed ends in the bits of the uninterrupted one."""

import os
import random
import signal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import pytorch_lightning as lightning
from pytorch_lightning.plugins.io import TorchCheckpointIO
from tests.checkpointing.toy import Model, Settings, kill_in_child, train

from showtell.checkpointing import boundary
from showtell.checkpointing import lightning_internals as internals
from showtell.checkpointing.archive import CheckpointError
from showtell.checkpointing.io import load_checkpoint
from showtell.checkpointing.last import VerifiedCheckpointIO

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulation": {"accumulate": 3},
    "plateau": {"schedule": "plateau"},
    "validation within the epoch": {"val_every": 0.43},
    "no validation": {"val_batches": 0},
    "max_steps": {"max_steps": 17, "epochs": -1},
    "max_steps at an epoch's end": {"max_steps": 14, "epochs": -1},
}


@cache
def uninterrupted(way: str) -> dict[str, Any]:
    with TemporaryDirectory() as directory:
        return train(Path(directory), Settings(**WAYS[way]))


def act_at(call: int, action) -> Any:
    """A hook that acts at its `call`-th call."""
    calls = 0

    def hook(model: Model) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            action()

    return hook


def raise_error() -> None:
    raise RuntimeError("on purpose")


def stop_and_resume(directory: Path, way: str, hook: str, call: int, number: int) -> tuple[int, dict[str, Any]]:
    """Sends this very process the signal at a call of the hook; returns exit code and outcome."""
    signalled = Settings(**WAYS[way], hooks={hook: act_at(call, lambda: os.kill(os.getpid(), number))})
    with pytest.raises(SystemExit) as caught:
        train(directory, signalled)
    return caught.value.code, train(directory, Settings(**WAYS[way]), directory / "last.ckpt", seed=8)


@pytest.mark.parametrize(
    ("hook", "call"), [("training_step", 1), ("optimizer_step", 7), ("training_step", 14), ("validation_step", 3)]
)
@pytest.mark.parametrize("way", WAYS)
def test_sigterm(way, hook, call, tmp_path):
    if hook == "validation_step" and way == "no validation":
        call, hook = 7, "training_step"
    code, got = stop_and_resume(tmp_path, way, hook, call, signal.SIGTERM)
    assert code == 143
    assert got == uninterrupted(way)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM])
def test_every_signal_has_its_exit_code(number, tmp_path):
    code, got = stop_and_resume(tmp_path, "plain", "training_step", 5, number)
    assert code == 128 + number
    assert load_checkpoint(tmp_path / "last.ckpt")["global_step"] == 21
    assert got == uninterrupted("plain")


def test_a_stop_saves_the_very_step(tmp_path):
    settings = Settings(every_steps=0, hooks={"training_step": act_at(5, lambda: os.kill(os.getpid(), signal.SIGTERM))})
    with pytest.raises(SystemExit):
        train(tmp_path, settings)
    assert load_checkpoint(tmp_path / "last.ckpt")["global_step"] == 5


HOOKS = [
    "on_train_batch_start",
    "training_step",
    "on_before_optimizer_step",
    "optimizer_step",
    "on_train_batch_end",
    "validation_step",
    "on_train_epoch_end",
]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("way", WAYS)
def test_signals_at_every_step(way, hook, number, tmp_path):
    calls = {"validation_step": range(1, 7), "on_train_epoch_end": range(1, 3)}.get(hook, range(1, 15, 2))
    if hook in ("on_before_optimizer_step", "optimizer_step") and way == "accumulation":
        calls = range(1, 10)
    if hook == "validation_step" and way == "no validation":
        return
    if hook == "validation_step" and way.startswith("max_steps"):
        calls = range(1, 5)
    for call in calls:
        directory = tmp_path / str(call)
        if hook == "validation_step" and call == 1:  # the sanity check: there is nothing to save yet
            with pytest.raises(SystemExit):
                stop = act_at(call, lambda: os.kill(os.getpid(), number))
                train(directory, Settings(**WAYS[way], hooks={hook: stop}))
            assert not (directory / "last.ckpt").exists()
            continue
        if hook == "validation_step" and call == 2 and way == "accumulation":
            continue  # stops inside the first window, with nothing to save
        assert stop_and_resume(directory, way, hook, call, number) == (128 + number, uninterrupted(way)), (hook, call)


# in the others the weights have left the boundary, and the file of the epoch's end stays
SAVED_STEP = {
    "on_train_batch_start": 9,
    "training_step": 9,
    "on_before_optimizer_step": 7,
    "optimizer_step": 7,
    "on_train_batch_end": 10,
    "validation_step": 7,
}


@pytest.mark.parametrize(
    ("hook", "call"), [*((hook, 10) for hook in HOOKS[:5]), ("validation_step", 4), ("on_train_epoch_end", 1)]
)
def test_exceptions(hook, call, tmp_path):
    way = "plateau"
    with pytest.raises(RuntimeError, match="on purpose"):
        train(tmp_path, Settings(**WAYS[way], every_steps=0, hooks={hook: act_at(call, raise_error)}))
    if hook in SAVED_STEP:
        assert load_checkpoint(tmp_path / "last.ckpt")["global_step"] == SAVED_STEP[hook]
    if (tmp_path / "last.ckpt").exists():
        assert train(tmp_path, Settings(**WAYS[way]), tmp_path / "last.ckpt", seed=8) == uninterrupted(way)


def test_an_exception_amid_accumulated_gradients_goes_back_to_the_last_step(tmp_path):
    with pytest.raises(RuntimeError, match="on purpose"):
        train(tmp_path, Settings(accumulate=3, every_steps=0, hooks={"training_step": act_at(6, raise_error)}))
    assert load_checkpoint(tmp_path / "last.ckpt")["global_step"] == 1
    assert train(tmp_path, Settings(accumulate=3), tmp_path / "last.ckpt", seed=8) == uninterrupted("accumulation")


def killed_and_resumed(directory: Path, way: str, kills: list[tuple[str, int]], **more: Any) -> dict[str, Any]:
    """Kills the run at each of the given calls in turn, resuming in between, and lets it finish."""
    resume = None
    for hook, call in kills:
        status = kill_in_child(directory, Settings(**WAYS[way], **more), hook, call, resume)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        resume = directory / "last.ckpt" if (directory / "last.ckpt").exists() else None
    outcome = train(directory, Settings(**WAYS[way], **more), resume, seed=8 if resume else 7)
    assert not list(directory.glob("*.tmp")), list(directory.glob(".*.tmp"))
    assert not list(directory.glob(".*.tmp"))
    return outcome


def random_kills(number: int, seed: int) -> list[tuple[str, str, int]]:
    generator = random.Random(seed)
    points = []
    for _ in range(number):
        way = generator.choice(list(WAYS))
        hook = generator.choice(["training_step", "training_step", "on_train_batch_end", "validation_step"])
        hook = "training_step" if WAYS[way].get("val_batches") == 0 and hook == "validation_step" else hook
        points.append((way, hook, generator.randint(3, 6) if hook == "validation_step" else generator.randint(1, 14)))
    return points


@pytest.mark.parametrize(("way", "hook", "call"), random_kills(20, seed=1))
def test_sigkill(way, hook, call, tmp_path):
    assert killed_and_resumed(tmp_path, way, [(hook, call)]) == uninterrupted(way)


@pytest.mark.slow
@pytest.mark.parametrize(("way", "hook", "call"), random_kills(200, seed=2))
def test_sigkill_200(way, hook, call, tmp_path):
    every = 1 + call % 3
    assert killed_and_resumed(tmp_path, way, [(hook, call)], every_steps=every) == uninterrupted(way)


def test_killed_twice_in_one_epoch_with_workers(tmp_path):
    kills = [("training_step", 10), ("training_step", 3)]
    assert killed_and_resumed(tmp_path, "plain", kills, workers=2, every_steps=2) == uninterrupted("plain")


def test_resumed_from_the_best_one(tmp_path):
    reference = train(tmp_path, Settings())
    assert train(tmp_path, Settings(), tmp_path / "best.ckpt", seed=8) == reference


def test_the_log_reaches_as_far_as_the_checkpoint(tmp_path):
    kill_in_child(tmp_path, Settings(), "training_step", 9)
    assert load_checkpoint(tmp_path / "last.ckpt")["global_step"] == 8


# --- the tests above can fail: each of these faults, put in on purpose, must show ----------------


def differs(directory: Path, way: str, hook: str, call: int, **more: Any) -> bool:
    settings = Settings(**WAYS[way], **more)
    with TemporaryDirectory() as clean:
        reference = train(Path(clean), settings)
    kill_in_child(directory, Settings(**WAYS[way], **more), hook, call)
    try:
        return train(directory, settings, directory / "last.ckpt", seed=8) != reference
    except (Exception, SystemExit):
        return True


@pytest.mark.slow
class TestMutants:
    def test_no_mutant_no_difference(self, tmp_path):
        assert not differs(tmp_path, "plain", "training_step", 10)

    def test_without_the_data_position(self, tmp_path):
        assert differs(tmp_path, "plain", "training_step", 10, count_batches=False)

    def test_without_reseeding(self, tmp_path):
        assert differs(tmp_path, "plain", "training_step", 10, seed_batches=False)

    def test_stock_restart_after_validation(self, tmp_path, monkeypatch):
        monkeypatch.setattr(internals, "expect_validation", lambda counters: None)
        assert differs(tmp_path, "plain", "validation_step", 4)

    def test_stock_plateau(self, tmp_path, monkeypatch):
        monkeypatch.setattr(internals, "forget_restart", lambda trainer: None)
        assert differs(tmp_path, "plateau", "training_step", 13)

    def test_stock_max_steps(self, tmp_path, monkeypatch):
        monkeypatch.setattr(internals, "forget_restart", lambda trainer: None)
        assert differs(tmp_path, "max_steps", "training_step", 8)

    def test_saving_in_the_middle_of_a_step(self, tmp_path, monkeypatch):
        monkeypatch.setattr(boundary.StepBoundary, "close", lambda self: None)
        with pytest.raises(RuntimeError, match="on purpose"):
            train(tmp_path, Settings(every_steps=0, hooks={"optimizer_step": act_at(10, raise_error)}))
        assert train(tmp_path, Settings(), tmp_path / "last.ckpt", seed=8) != uninterrupted("plain")

    def test_saving_live_counters(self, tmp_path, monkeypatch):
        def live(self: boundary.StepBoundary, trainer: lightning.Trainer) -> dict[str, Any]:
            return internals.whole_state(trainer)

        monkeypatch.setattr(boundary.StepBoundary, "checkpoint", live)
        assert differs(tmp_path, "plain", "training_step", 10)

    def test_lightnings_own_writer_does_not_verify(self, tmp_path):
        TorchCheckpointIO().save_checkpoint({"a": 1}, str(tmp_path / "a.ckpt"))
        with pytest.raises(CheckpointError):
            VerifiedCheckpointIO().load_checkpoint(tmp_path / "a.ckpt")
