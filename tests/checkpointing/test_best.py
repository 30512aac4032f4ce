import pytest
from tests.checkpointing import toy
from tests.checkpointing.toy import Settings, train

from showtell.checkpointing.best import BestCheckpoint
from showtell.checkpointing.io import load_checkpoint
from showtell.checkpointing.last import LastCheckpoint
from showtell.errors import UserError


def worse_from_the_second_epoch(model: toy.Model) -> None:
    if model.current_epoch >= 1:
        model.net[3].bias.data += 50


def test_best_stays_and_last_is_the_last_when_it_gets_worse(tmp_path):
    got = train(tmp_path, Settings(hooks={"optimizer_step": worse_from_the_second_epoch}))
    assert load_checkpoint(tmp_path / "best.ckpt")["global_step"] == 7
    assert load_checkpoint(tmp_path / "last.ckpt")["global_step"] == 21
    assert got["best"] < 100


def test_a_resumed_run_does_not_replace_the_best_by_a_worse_one(tmp_path):
    train(tmp_path, Settings(epochs=1))
    best = (tmp_path / "best.ckpt").read_bytes()
    train(
        tmp_path,
        Settings(epochs=2, hooks={"optimizer_step": worse_from_the_second_epoch}),
        tmp_path / "last.ckpt",
    )
    assert (tmp_path / "best.ckpt").read_bytes() == best


def test_largest_is_best(tmp_path, monkeypatch):
    monkeypatch.setattr(toy, "BestCheckpoint", lambda *args: BestCheckpoint(*args, mode="max"))
    monkeypatch.setattr(toy, "outcome", lambda *_: {})
    train(tmp_path, Settings(hooks={"optimizer_step": worse_from_the_second_epoch}))
    assert load_checkpoint(tmp_path / "best.ckpt")["global_step"] == 21


def test_a_metric_that_nobody_logs_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(toy, "BestCheckpoint", lambda *args: BestCheckpoint(*args, monitor="val/cidr"))
    with pytest.raises(
        UserError, match=r"training\.monitor='val/cidr' is not logged by validation; choose one of val/loss"
    ):
        train(tmp_path, Settings())


def test_wrong_mode(tmp_path):
    with pytest.raises(ValueError, match="choose min or max"):
        BestCheckpoint(tmp_path, LastCheckpoint(tmp_path), mode="least")
