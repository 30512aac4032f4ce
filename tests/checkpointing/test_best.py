import math

import pytest
from tests.checkpointing import toy
from tests.checkpointing.toy import Settings, train

from showtell.checkpointing.best import Best, BestCheckpoint
from showtell.checkpointing.io import load_checkpoint, save_checkpoint
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
    train(tmp_path, Settings(epochs=2, hooks={"optimizer_step": worse_from_the_second_epoch}), tmp_path / "last.ckpt")
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


def test_what_is_not_a_number_is_never_best():
    best = Best("val/loss", "min")
    assert not best.is_beaten_by(math.nan)
    best.replace({"val/loss": 2.0, "val/cider": 0.1}, epoch=1)
    assert not best.is_beaten_by(math.nan) and not best.is_beaten_by(2.0) and best.is_beaten_by(1.9)
    assert best.is_beaten_by(2.0, or_equalled=True)


def chosen(window, values, mode="max"):
    """The epochs that became the best, one after the other, by the mean over validations."""
    best, epochs = Best("val/cider_mean" if window > 1 else "val/cider", mode, window=window), []
    for epoch, value in enumerate(values, 1):
        mean = best.mean_with(value)
        if best.is_beaten_by(mean, or_equalled=True):
            best.replace({best.monitor: mean}, epoch)
            epochs.append(epoch)
    return epochs


@pytest.mark.parametrize(
    ("window", "values", "epochs"),
    [
        (1, [0.3, 0.3, 0.2, 0.3], [1, 2, 4]),  # a tie goes to the later
        (1, [0.0, 0.0, 0.0], [1, 2, 3]),  # CIDEr of one picture
        (3, [0.5, 0.3, 0.3, 0.4], [1, 3]),  # a lucky first epoch counts until there is a mean of three
        (3, [0.1, 0.2, 0.9, 0.3, 0.1, 0.5, 0.6, 0.6], [1, 2, 3, 4, 8]),  # one outlier among lower ones
        (3, [0.2, math.nan, 0.1, 0.1, 0.1], [1, 5]),
    ],
)
def test_an_epoch_is_judged_by_the_mean_of_its_neighbours(window, values, epochs):
    assert chosen(window, values) == epochs


def test_a_run_without_a_better_epoch_ends_and_a_resume_of_it_trains_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(toy, "BestCheckpoint", lambda *args: BestCheckpoint(*args, window=2, patience=2))
    monkeypatch.setattr(toy, "outcome", lambda *_: {})
    hooks = {"optimizer_step": worse_from_the_second_epoch}
    train(tmp_path, Settings(epochs=9, hooks=hooks))
    ended = load_checkpoint(tmp_path / "last.ckpt")
    state = ended["callbacks"]["BestCheckpoint"]
    assert (ended["global_step"], state["epoch"], state["waited"]) == (28, 2, 2)  # 2, 3 and 4 are worse and worse
    train(tmp_path, Settings(epochs=9, hooks=hooks), tmp_path / "last.ckpt")
    assert load_checkpoint(tmp_path / "last.ckpt")["global_step"] == 28


def restored(folder, state, monitor):
    callback = BestCheckpoint(folder, LastCheckpoint(folder), monitor=monitor, mode="min")
    callback.load_state_dict(state)
    return callback.best


def test_another_metric_or_a_lost_file_starts_its_best_anew(tmp_path):
    best = {"monitor": "val/loss", "value": 0.4, "metrics": {"val/loss": 0.4}, "epoch": 3}
    assert restored(tmp_path, best, "val/loss") == Best("val/loss", "min")
    (tmp_path / "best.ckpt").write_bytes(b"")
    assert restored(tmp_path, best, "val/loss") == Best("val/loss", "min", 0.4, {"val/loss": 0.4}, 3)
    assert restored(tmp_path, best, "val/perplexity") == Best("val/perplexity", "min")


def test_what_lightning_counted_of_early_stopping_goes_on(tmp_path):
    best = {"monitor": "val/loss", "value": 0.4, "metrics": {}, "epoch": 3}
    old = {"BestCheckpoint": best, "EarlyStopping{'monitor': 'val/loss', 'mode': 'min'}": {"wait_count": 2}}
    save_checkpoint({"callbacks": old}, tmp_path / "best.ckpt")
    callbacks = load_checkpoint(tmp_path / "best.ckpt")["callbacks"]
    assert callbacks.keys() == {"BestCheckpoint"}
    assert restored(tmp_path, callbacks["BestCheckpoint"], "val/loss").waited == 2


@pytest.mark.parametrize(
    ("status", "metrics"),
    [
        ({"best": 0.4, "metrics": {"val/cider": 0.1}, "seconds": 1.0}, {"val/cider": 0.1}),
        ({"best": 0.7, "metrics": {"val/cider": 0.7}, "seconds": 1.0}, {}),  # two owners that did not agree
        (None, {}),
    ],
)
def test_checkpoints_with_two_owners_of_best_still_resume(status, metrics, tmp_path):
    callbacks = {"BestCheckpoint": {"best_score": 0.4, "monitor": "val/loss"}, **({"Status": status} if status else {})}
    save_checkpoint({"callbacks": callbacks}, tmp_path / "best.ckpt")
    state = load_checkpoint(tmp_path / "best.ckpt")["callbacks"]["BestCheckpoint"]
    assert restored(tmp_path, state, "val/loss") == Best("val/loss", "min", 0.4, metrics)
