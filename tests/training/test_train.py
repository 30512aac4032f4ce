"""The main job end to end, on pictures that the tests draw."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

from showtell.checkpointing.best import Best
from showtell.checkpointing.resume import ResumeError
from showtell.config import Config
from showtell.errors import UserError
from showtell.evaluation.resampling import samples
from showtell.evaluation.sums import load_statistics
from showtell.processes import COMMAND_VARIABLE
from showtell.run import Run
from showtell.training.train import train

MakeConfig = Callable[..., Config]


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open() as file:
        return [{key: value for key, value in row.items() if "second" not in key} for row in csv.DictReader(file)]


def test_leaves_checkpoints_curves_and_pictures(tiny_run: Path) -> None:
    for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "metrics.csv", "vocabulary.txt", "status.json"):
        assert (tiny_run / name).stat().st_size > 0
    with Image.open(tiny_run / "predictions/grid.png") as grid:
        assert grid.width > 300
    captions = json.loads((tiny_run / "predictions/captions_val.json").read_text())
    assert {entry["image_id"] for entry in captions} == set(range(1001, 1007))
    assert json.loads((tiny_run / "status.json").read_text())["state"] == "finished"


def test_the_statistics_are_those_of_the_best_epoch(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three epochs the second one is made the best."""
    config = tiny_config(training={"max_epochs": 3, "monitor": "val/cider"})
    monkeypatch.setattr(Best, "is_beaten_by", lambda best, value, ties: best.epoch is None or best.epoch < 2)
    train(config, tmp_path)
    kept, status = load_statistics(Run(tmp_path).statistics("val")), Run(tmp_path).status()
    assert kept is not None and status is not None and kept.epoch == status.best_epoch == 2
    assert kept.picture_ids.tolist() == list(range(1001, 1007)) and "|split:val|pics:6|" in kept.signature
    (drawn,) = samples([kept.sums])
    for name in ("cider", "bleu4", "rouge_l"):
        assert drawn[name].value == pytest.approx(status.metrics[f"val/{name}"], abs=1e-6)


def test_tensorboard_shows_curves_samples_and_how_the_run_was_made(tiny_run: Path) -> None:
    events = EventAccumulator(str(tiny_run))
    events.Reload()
    tags = events.Tags()
    wanted = {"train/loss", "train/gradient_norm", "train/learning_rate", "train/captions_per_second"}
    wanted |= {"train/pictures_per_second", "val/loss", "val/perplexity", "val/cider"}
    assert wanted <= set(tags["scalars"]) and "epoch" not in tags["scalars"]
    # no chart has a single point, and the best value is the first of all by name
    assert {len(events.Scalars(tag)) for tag in tags["scalars"]} <= {2, 16}
    status = json.loads((tiny_run / "status.json").read_text())
    (best,) = {tag for tag in tags["scalars"] if tag.startswith("best/")}
    assert best == min(tags["scalars"]) == f"best/{status['monitor'].removeprefix('val/')}"
    assert events.Scalars(best)[-1].value == pytest.approx(status["best"])
    newest = events.Images("val/captions")[-1]
    with Image.open(io.BytesIO(newest.encoded_image_string)) as shown:
        assert shown.size == (newest.width, newest.height)
        assert shown.width < 700  # two cards side by side: their words are legible at half the size
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in tags["tensors"] if "/t" in tag}
    assert {"val/captions", "run/configuration", "run/curves", "run/model"} <= {tag.rpartition("/")[0] for tag in texts}
    assert "    threshold: 1\n" in texts["run/configuration/text_summary"]
    assert all(f"`val/{name}`" in texts["run/curves/text_summary"] for name in ("novel", "distinct", "bad_endings"))
    assert not [tag for tag in tags["scalars"] if tag.startswith("val_best")]


def test_the_text_page_lists_the_layers_with_their_parameters(tiny_run: Path) -> None:
    events = EventAccumulator(str(tiny_run))
    events.Reload()
    text = events.Tensors("run/model/text_summary")[0].tensor_proto.string_val[0].decode()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `decoder")]
    weights = torch.load(tiny_run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    count = sum(int(cells[-1].removesuffix(" |").replace(",", "")) for cells in rows)
    assert count == sum(tensor.numel() for name, tensor in weights.items() if name.startswith("decoder."))
    assert f"Trained parameters: {count:,}. Encoder: " in text


def hyperparameters(run_dir: Path) -> dict[str, float | str]:
    """As TensorBoard finds them: of each thing that is written once, it takes the first."""
    events = EventAccumulator(str(run_dir))
    events.Reload()
    assert "_hparams_/experiment" not in events.summary_metadata  # TensorBoard itself finds out what was varied
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    found = parse_session_start_info_plugin_data(content).hparams
    return {
        name: value.number_value if value.HasField("number_value") else value.string_value
        for name, value in found.items()
    }


def test_hyperparameters_are_those_of_the_latest_resume(tiny_config: MakeConfig, tmp_path: Path) -> None:
    train(tiny_config(training={"max_epochs": 1}), tmp_path)
    assert (before := hyperparameters(tmp_path))["training.max_epochs"] == 1
    train(tiny_config(training={"max_epochs": 2}, resume=str(tmp_path)), tmp_path)
    assert hyperparameters(tmp_path) == {**before, "training.max_epochs": 2}


def test_the_command_of_every_resume_is_shown_where_it_went_on(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for epochs, command in enumerate(("python train.py a=1", "python train.py resume=run"), start=1):
        monkeypatch.setenv(COMMAND_VARIABLE, command)
        resume = str(tmp_path) if epochs > 1 else None
        train(tiny_config(training={"max_epochs": epochs}, resume=resume), tmp_path)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    shown = [(point.step, point.tensor_proto.string_val[0]) for point in events.Tensors("run/command/text_summary")]
    assert shown == [(0, b"`python train.py a=1`"), (8, b"`python train.py resume=run`")]
    assert [point.step for point in events.Scalars("best/cider_mean")] == [7, 15]


def test_what_a_mean_chose_and_the_epoch_alone_are_told_by_their_names(tiny_run: Path) -> None:
    status = Run(tiny_run).status()
    assert status is not None
    single = [float(row["val/cider"]) for row in rows(tiny_run) if row["val/cider"]]
    means = [float(row["val/cider_mean"]) for row in rows(tiny_run) if row["val/cider_mean"]]
    assert means == pytest.approx([single[0], (single[0] + single[1]) / 2])
    assert status.monitor == "val/cider_mean" and status.best in status.metrics.values()
    assert status.metrics["val/cider"] == pytest.approx(single[(status.best_epoch or 0) - 1])


def test_metrics_file_has_a_row_per_logged_step(tiny_run: Path) -> None:
    steps = [int(row["step"]) for row in rows(tiny_run) if row["train/loss"]]
    assert steps == list(range(16))  # 48 captions of two lengths by 7: 8 batches, two epochs


def test_checkpoint_loads_safely_and_holds_no_encoder(tiny_run: Path) -> None:
    checkpoint = torch.load(tiny_run / "checkpoints/last.ckpt", weights_only=True)
    assert all(name.startswith("decoder.") for name in checkpoint["state_dict"])
    assert checkpoint["showtell"]["vocabulary"][:3] == ["<start>", "<end>", "<unk>"]
    assert (tiny_run / "checkpoints/encoder.pt").is_file()  # random weights travel with the run


def test_training_learns(tiny_config: MakeConfig, tmp_path: Path) -> None:
    config = tiny_config(
        training={"max_epochs": 12, "learning_rate": 0.02, "monitor": "val/loss"}, decoder={"dropout": 0.0}
    )
    assert train(config, tmp_path) < 0.7


def test_an_unknown_monitor_is_refused_before_the_first_step(tiny_config: MakeConfig, tmp_path: Path) -> None:
    train(tiny_config(training={"max_epochs": 1}), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    wrong = {"max_epochs": 2, "monitor": "val/CIDEr"}
    with pytest.raises(UserError, match=r"training.monitor='val/CIDEr' is not logged .*choose one of .*val/cider, "):
        train(tiny_config(training=wrong, resume=str(tmp_path)), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_metrics_and_loggers_by_name(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a metric lacks on this machine is said once, before it could be waited for."""
    monkeypatch.setenv("PATH", str(tmp_path))  # no Java
    chosen = {"max_epochs": 1, "loggers": ["csv"], "metrics": ["meteor", "cider"]}
    train(tiny_config(training=chosen), tmp_path / "run")
    said = capsys.readouterr().out
    assert said.count("note: METEOR left out") == 1 and "tensorboard" not in said
    assert (tmp_path / "run" / "metrics.csv").is_file() and not list((tmp_path / "run").glob("events*"))
    with pytest.raises(UserError, match="'val/meteor' is not logged by validation; choose one of"):
        train(tiny_config(training={**chosen, "monitor": "val/meteor"}), tmp_path / "other")


def test_a_cold_and_a_warm_cache_give_the_same_run(tiny_config: MakeConfig, tmp_path: Path) -> None:
    for name in ("cold", "warm"):
        train(tiny_config(cache=str(tmp_path / "cache"), training={"max_epochs": 1}), tmp_path / name)
    assert rows(tmp_path / "cold") == rows(tmp_path / "warm")


@pytest.mark.parametrize("features", ["store", "off"])
def test_resume_at_an_epochs_end_is_exact(tiny_config: MakeConfig, tmp_path: Path, features: str) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    mode = {"mode": features}
    train(tiny_config(features=mode, training={"max_epochs": 3}), whole)
    train(tiny_config(features=mode, training={"max_epochs": 1}), parts)
    train(tiny_config(features=mode, training={"max_epochs": 3}, resume=str(parts)), parts)
    first, second = (torch.load(run / "checkpoints/last.ckpt", weights_only=True) for run in (whole, parts))
    assert all(torch.equal(value, second["state_dict"][name]) for name, value in first["state_dict"].items())
    states = (first["optimizer_states"][0]["state"], second["optimizer_states"][0]["state"])
    assert all(torch.equal(states[0][i]["exp_avg_sq"], states[1][i]["exp_avg_sq"]) for i in states[0])
    assert rows(whole) == rows(parts)
    assert (whole / "predictions/captions_val.json").read_bytes() == (
        parts / "predictions/captions_val.json"
    ).read_bytes()


@pytest.mark.parametrize("clock", ["this machine's", "one that goes ahead"])
def test_resumed_curve_has_no_seam_in_tensorboard(tiny_config: MakeConfig, tmp_path: Path, clock: str) -> None:
    for epochs in (1, 2, 3):
        train(tiny_config(training={"max_epochs": epochs}, resume=str(tmp_path) if epochs > 1 else None), tmp_path)
        if clock != "this machine's" and epochs < 3:
            (latest,) = (path for path in tmp_path.glob("events.*") if not path.name.endswith(".resumed"))
            latest.rename(tmp_path / f"events.out.tfevents.{4_000_000_000 - epochs}.other.{epochs}.0")
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(24))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder": {"hidden_size": 17}}, "decoder.hidden_size=17 does not fit the checkpoint"),
        ({"vocab": {"threshold": 9}}, "vocab.threshold=9 does not fit the checkpoint"),
        ({"encoder": {"name": "resnet34"}}, "encoder.name='resnet34' does not fit the checkpoint"),
    ],
)
def test_resume_refuses_what_makes_no_sense(
    tiny_config: MakeConfig, tiny_run: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ResumeError) as refused:
        train(tiny_config(**change, resume=str(tiny_run)), tmp_path)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_store_and_pictures_give_the_same_losses(tiny_config: MakeConfig, tmp_path: Path) -> None:
    losses = []
    for mode in ("store", "off"):
        train(tiny_config(features={"mode": mode}), tmp_path / mode)
        losses.append([float(row["train/loss"]) for row in rows(tmp_path / mode) if row["train/loss"]])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)  # float32 features, batches of another size


def test_unreadable_pictures_are_left_out_or_refused(
    tiny_coco: Path, tiny_config: MakeConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    data = tmp_path / "data"
    shutil.copytree(tiny_coco, data)
    broken = data / "train" / "train_000000000003.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    section = {"root": str(data)}
    train(tiny_config(data=section, training={"max_epochs": 1}), tmp_path / "run")
    assert "train: 1 pictures that cannot be read" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"train_000000000003.jpg: cannot be read"):
        train(tiny_config(data={**section, "bad_pictures": "fail"}), tmp_path / "other")
