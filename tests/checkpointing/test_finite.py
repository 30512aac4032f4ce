import math

import pytest
import torch
from tests.checkpointing import toy
from tests.checkpointing.toy import Model, Settings, train

from showtell.checkpointing.finite import FiniteLoss, NonFiniteLossError
from showtell.checkpointing.io import load_checkpoint


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_stops_at_the_step_and_names_the_pictures(value, accumulate, tmp_path, monkeypatch):
    seen = []

    def training_step(self: Model, batch, batch_idx):
        seen.append(batch["picture_ids"].tolist())
        return self.net(batch["x"]).mean() * (value if len(seen) == 11 else 1)

    monkeypatch.setattr(Model, "training_step", training_step)
    with pytest.raises(NonFiniteLossError) as caught:
        train(tmp_path, Settings(accumulate=accumulate, every_steps=0, val_batches=0))
    text = str(caught.value)
    assert "\n" not in text and f"step {11 if accumulate == 1 else 5}" in text
    assert ", ".join(map(str, seen[10])) in text
    saved = load_checkpoint(tmp_path / "last.ckpt")
    assert saved["global_step"] == (10 if accumulate == 1 else 4)
    assert all(bool(value.isfinite().all()) for value in saved["state_dict"].values())


def test_weights_that_are_not_finite_never_replace_good_ones(tmp_path):
    def spoil(model: Model) -> None:
        if model.global_step == 9:
            with torch.no_grad():
                model.net[0].weight[0, 0] = math.nan

    with pytest.raises(
        NonFiniteLossError, match=r"weights net\.0\.weight are not finite after step 10.*kept as it was"
    ):
        train(tmp_path, Settings(hooks={"optimizer_step": spoil}))
    assert load_checkpoint(tmp_path / "last.ckpt")["global_step"] == 9


def test_a_checkpoint_that_fails_does_not_hide_why_the_run_stopped(tmp_path, capsys):
    def spoil(model: Model) -> None:
        with torch.no_grad():
            model.net[0].weight[0, 0] = math.nan

    def fail(model: Model) -> None:
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        train(tmp_path, Settings(every_steps=0, hooks={"optimizer_step": spoil, "on_train_batch_end": fail}))
    assert "stopped without a new checkpoint: the weights" in capsys.readouterr().out


def test_without_the_callback_the_run_goes_on(tmp_path, monkeypatch):
    class Blind(FiniteLoss):
        on_before_backward = on_before_optimizer_step = lambda *_: None

    def training_step(self: Model, batch, batch_idx):
        return self.net(batch["x"]).mean() * math.nan

    monkeypatch.setattr(Model, "training_step", training_step)
    monkeypatch.setattr(toy, "FiniteLoss", Blind)
    with pytest.raises(NonFiniteLossError, match="weights"):  # only when the next checkpoint is due
        train(tmp_path, Settings(every_steps=0, val_batches=0))
    assert not (tmp_path / "last.ckpt").exists()
