"""Precision and compilation of training, against float32: same losses within what the format can hold."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from showtell.config import Config
from showtell.training.train import train

MakeConfig = Callable[..., Config]


def logged(run_dir: Path) -> list[float]:
    with (run_dir / "metrics.csv").open() as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]


def losses(config: Config, run_dir: Path) -> list[float]:
    train(config, run_dir)
    return logged(run_dir)


@pytest.fixture
def expected(tiny_run: Path) -> list[float]:
    return logged(tiny_run)


@pytest.mark.parametrize(
    ("features", "tolerance"),
    [({"dtype": "float16"}, 1e-3), ({"precision": "bfloat16"}, 2e-2), ({"mode": "off"}, 1e-5)],
    ids=["stored in float16", "encoded in bfloat16", "from pictures"],
)
def test_features_give_float32s_losses(
    tiny_config: MakeConfig, tmp_path: Path, expected: list[float], features: dict[str, str], tolerance: float
) -> None:
    found = losses(tiny_config(features=features), tmp_path)
    assert found == pytest.approx(expected, abs=tolerance)


def test_bfloat16_training_stays_near_float32(tiny_config: MakeConfig, tmp_path: Path, expected: list[float]) -> None:
    found = losses(tiny_config(device={"precision": "bf16-mixed"}, training={"gradient_clip": 100.0}), tmp_path)
    assert found == pytest.approx(expected, abs=3e-2)
    assert found != expected


def test_every_step_seeds_without_queueing_calls_for_later(tiny_config: MakeConfig, tmp_path: Path) -> None:
    before = len(torch.cuda._queued_calls)
    train(tiny_config(), tmp_path)
    # `torch.manual_seed` in every step would leave a call and a stack trace for each; `seed_everything` leaves one
    assert len(torch.cuda._queued_calls) <= before + 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what the compiler says about itself differs with every release
@pytest.mark.parametrize("decoder", ["lstm", "attention"])
def test_a_compiled_decoder_gives_float32s_losses_and_plain_names(
    tiny_config: MakeConfig, tmp_path: Path, decoder: str
) -> None:
    plain = {"name": decoder, "dropout": 0.0, "attention_size": 8}  # compiled code draws another dropout
    recipe = {"weight_average": 0.9, "max_epochs": 1}
    expected = losses(tiny_config(decoder=plain, training=recipe), tmp_path / "plain")
    found = losses(tiny_config(decoder=plain, training=recipe, device={"compile": True}), tmp_path / "compiled")
    assert found == pytest.approx(expected, abs=1e-3)
    names = torch.load(tmp_path / "compiled/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert not any("_orig_mod" in name for name in names)
