"""Decoders and recipes through the real `train`: resume, prediction, second stage."""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from tests.small_settings import decoder_settings

from showtell.config import Config, ConfigError
from showtell.errors import UserError
from showtell.prediction.captioner import Captioner
from showtell.training.train import train
from showtell.training.warm_start import load_start

MakeConfig = Callable[..., Config]
SIZES = {"hidden_size": 8, "embedding_size": 8, "attention_size": 8, "region_size": 8, "num_heads": 2, "dropout": 0.2}


def small(name: str) -> dict[str, object]:
    return asdict(decoder_settings(name, **SIZES))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("topdown", "transformer")]


@pytest.mark.parametrize("name", ["attention", "hard_attention", *SLOW])
def test_resume_in_the_middle_of_an_epoch_is_exact(tiny_config: MakeConfig, tmp_path: Path, name: str) -> None:
    recipe = {"weight_average": 0.9, "schedule": "plateau", "max_epochs": 3}
    objective = {"label_smoothing": 0.1, "scheduled_sampling": 0.3 if "attention" in name else 0.0}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    shared = {"decoder": small(name), "objective": objective}
    train(tiny_config(**shared, training=recipe), whole)
    train(tiny_config(**shared, training={**recipe, "max_steps": 11}), parts)
    train(tiny_config(**shared, training=recipe, resume=str(parts)), parts)
    assert same(weights(whole), weights(parts))
    assert any(key.startswith("ema.") for key in weights(whole))


def test_an_average_is_what_predicts_and_what_a_second_stage_starts_with(
    tiny_config: MakeConfig, tmp_path: Path, tiny_coco: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    decoder = small("attention")
    train(tiny_config(decoder=decoder, training={"weight_average": 0.9}), first)
    trained = weights(first)
    captioner = Captioner.from_checkpoint(first / "checkpoints/last.ckpt", "cpu")
    name = "energy.weight"
    assert torch.equal(captioner.decoder.state_dict()[name], trained[f"ema.{name}"])
    assert not torch.equal(trained[f"decoder.{name}"], trained[f"ema.{name}"])

    stage = {"max_epochs": 1, "learning_rate": 1e-9}
    objective = {"name": "self_critical", "drawn_captions": 3}
    start = str(first / "checkpoints/last.ckpt")
    train(
        tiny_config(init_from=start, training=stage, objective=objective), second
    )  # the decoder comes with the checkpoint
    torch.testing.assert_close(weights(second)[f"decoder.{name}"], trained[f"ema.{name}"], atol=1e-6, rtol=0)
    captioned = Captioner.from_checkpoint(second / "checkpoints/last.ckpt", "cpu").caption(
        sorted((tiny_coco / "val").iterdir())[:1]
    )[0]
    looked = captioner.look(captioned)
    assert looked is not None
    assert looked.shape[0] == len(captioned.words[0])


def test_a_second_stage_refuses_another_vocabulary(tiny_config: MakeConfig, tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="vocabulary"):
        train(tiny_config(init_from=str(tiny_run), data={"max_caption_words": 2}), tmp_path)


def test_a_second_stage_takes_the_best_checkpoint_of_a_run_or_the_last(tiny_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_run / "checkpoints", tmp_path / "checkpoints")
    assert load_start(str(tmp_path)).path == folder / "best.ckpt"
    (folder / "best.ckpt").unlink()
    assert load_start(str(tmp_path)).path == folder / "last.ckpt"
    (folder / "last.ckpt").unlink()
    with pytest.raises(UserError, match=r"last.ckpt: No such file or directory; pass a run, or a file"):
        load_start(str(tmp_path))


def test_self_critical_training_wants_a_trained_start(tiny_config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give a trained run's directory, init_from="):
        train(tiny_config(objective={"name": "self_critical"}), tmp_path)


def test_attention_is_shown(tiny_config: MakeConfig, tmp_path: Path) -> None:
    train(tiny_config(decoder=small("attention"), training={"max_epochs": 1}), tmp_path)
    assert (tmp_path / "predictions/attention.png").stat().st_size > 1000
