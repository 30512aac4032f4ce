"""Precision and compilation of training, against float32: same losses within what the format can hold."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from showtell.config import Config
from showtell.models import precision
from showtell.prediction.captioner import Captioner
from showtell.run import Run
from showtell.training import sources
from showtell.training.beginning import device_in_words
from showtell.training.train import train
from showtell.training.trainer import settle_gpus

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


@pytest.fixture
def quick_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any processor computes these sizes in no time."""
    monkeypatch.setattr(precision, "processor", lambda device: "AMD avx512_bf16")


@pytest.mark.usefixtures("quick_in_bfloat16")
def test_a_run_in_bfloat16_resumes_to_the_bit_and_predicts_what_it_validated(
    tiny_config: MakeConfig, tmp_path: Path, tiny_coco: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    small = {"attention_size": 8, "region_size": 8}
    shared = {"device": {"precision": "auto"}, "decoder": {"name": "attention", **small}}
    recipe = {"max_epochs": 3, "weight_average": 0.9, "monitor": "val/loss"}
    train(tiny_config(**shared, training=recipe), whole)
    train(tiny_config(**shared, training={**recipe, "max_steps": 11}), parts)
    capsys.readouterr()
    train(tiny_config(**shared, training=recipe, resume=str(parts)), parts)
    assert "not exactly" not in capsys.readouterr().out
    assert Run(parts).started_config().device.precision == "bf16-mixed"
    files = [run / "checkpoints/last.ckpt" for run in (whole, parts)]
    first, second = (torch.load(file, weights_only=True)["state_dict"] for file in files)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    rows = json.loads((whole / "predictions/captions_val.json").read_text())
    captioner = Captioner.from_checkpoint(files[0], "cpu")
    assert captioner.precision == "bfloat16" and "decoder in bfloat16" in str(captioner)
    assert Captioner.from_checkpoint(whole, "cpu", "float32").precision == "float32"
    found = captioner.caption(sorted((tiny_coco / "val").iterdir()))
    assert {int(one.path.stem[-12:]): one.captions[0] for one in found} == {
        row["image_id"]: row["caption"] for row in rows
    }


def test_a_resume_on_another_kind_of_processor_says_so(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, steps in (("AMD avx512_bf16", 2), ("Intel avx2", 4)):
        monkeypatch.setattr(precision, "processor", lambda device, kind=kind: kind)
        monkeypatch.setattr(sources, "processor", lambda device, kind=kind: kind)
        resume = str(tmp_path) if steps == 4 else None
        precise = {"precision": "auto" if not resume else Run(tmp_path).started_config().device.precision}
        train(tiny_config(device=precise, training={"max_steps": steps}, resume=resume), tmp_path)
    told = "the processor was 'AMD avx512_bf16' and is 'Intel avx2': the resumed run is not exactly"
    assert told in capsys.readouterr().out
    assert device_in_words(Run(tmp_path).started_config(), torch.device("cpu")).endswith("computes slowly")


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to look for")
def test_where_there_is_no_gpu_no_step_looks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # as Lightning wants it
    looked: list[None] = []

    def look() -> int:
        looked.append(None)
        return 0

    monkeypatch.setattr(torch.cuda, "_device_count_nvml", look)
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    adam = torch.optim.Adam([weight])
    adam.step()
    assert looked  # or torch has changed, and `settle_gpus` can go

    settle_gpus()
    looked.clear()
    adam.step()

    assert not looked
