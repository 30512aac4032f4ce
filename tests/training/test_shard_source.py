"""Training from shards through the real `train`: pictures, features, resume, prediction, and what is refused."""

import csv
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from showtell.config import Config, ConfigError, parse
from showtell.data.shards.command import Limits, write_shards
from showtell.data.shards.members import ShardError, read_members
from showtell.data.shards.writing import shard_writer
from showtell.errors import UserError
from showtell.prediction.captioner import Captioner
from showtell.training.train import train

MakeConfig = Callable[..., Config]


@pytest.fixture(scope="module")
def shards(tiny_coco: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shards")
    data = parse({"data": {"name": "tiny", "format": "coco", "root": str(tiny_coco)}}).data
    write_shards(data, root, Limits(samples=5, megabytes=1, seed=0), root / "cache")
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the tests that do not look at it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def config(tiny_config: MakeConfig, shards: Path, cache: Path) -> MakeConfig:
    """A tiny run on shards, with pictures so small that the encoder costs little."""

    def make(root: Path = shards, **sections: object) -> Config:
        data = {"format": "shards", "root": str(root), "train_shards": "train-*.tar", "val_shards": "val-*.tar"}
        data |= {"shuffle_buffer": 12, **sections.pop("data", {})}  # type: ignore[dict-item]
        encoder = {"image_size": 32, **sections.pop("encoder", {})}  # type: ignore[dict-item]
        return tiny_config(**{"cache": str(cache), **sections, "data": data, "encoder": encoder})

    return make


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def losses(run_dir: Path) -> list[str]:
    return [row["train/loss"] for row in rows(run_dir) if row["train/loss"]]


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(run_dir / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("mode", ["off", "store"])
def test_a_run_leaves_what_every_run_leaves(config: MakeConfig, tmp_path: Path, tiny_coco: Path, mode: str) -> None:
    run = tmp_path / "run"
    train(config(features={"mode": mode}, training={"schedule": "cosine"}), run)
    assert (run / "predictions/grid.png").is_file()
    assert len(json.loads((run / "predictions/captions_val.json").read_text())) == 6
    events = EventAccumulator(str(run))
    events.Reload()
    assert {"val/cider", "val/loss", "train/loss"} <= set(events.Tags()["scalars"])
    assert "val/captions" in events.Tags()["images"]
    steps = [row for row in rows(run) if row["train/loss"]]
    assert len(steps) == 16  # 48 captions of two lengths by 7, two epochs: as from the folder
    assert float(steps[-1]["train/learning_rate"]) < 1e-4  # the cosine knew the number of steps
    picture = next((tiny_coco / "val").iterdir())
    assert Captioner.from_checkpoint(run / "checkpoints/best.ckpt", "cpu").caption([picture])[0].error is None


def test_features_and_pictures_give_the_same_losses(config: MakeConfig, tmp_path: Path) -> None:
    for mode in ("store", "off"):
        train(config(features={"mode": mode}), tmp_path / mode)
    first, second = (list(map(float, losses(tmp_path / mode))) for mode in ("store", "off"))
    assert first == pytest.approx(second, abs=1e-5)


SLOW = [pytest.param(*case, marks=pytest.mark.slow) for case in ((8, 0), (11, 2))]


@pytest.mark.parametrize(("steps", "workers"), [(3, 0), *SLOW])
def test_resume_is_exact(config: MakeConfig, tmp_path: Path, steps: int, workers: int) -> None:
    whole, parts, data = tmp_path / "whole", tmp_path / "parts", {"num_workers": workers}
    train(config(data=data, training={"max_epochs": 3}), whole)
    train(config(data=data, training={"max_epochs": 3, "max_steps": steps}), parts)
    train(config(data={"num_workers": 0}, training={"max_epochs": 3}, resume=str(parts)), parts)
    assert same(weights(whole), weights(parts))
    assert losses(whole) == losses(parts) and len(losses(whole)) == 24


def test_a_second_run_encodes_nothing(config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = str(tmp_path / "cache")
    train(config(cache=own), tmp_path / "cold")
    monkeypatch.setattr("showtell.models.encoders.encoding.FastEncoder", None)
    train(config(cache=own), tmp_path / "warm")
    assert losses(tmp_path / "cold") == losses(tmp_path / "warm")


def test_another_threshold_reads_no_shard_again(
    config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(config(training={"max_steps": 1}), tmp_path / "one")
    monkeypatch.setattr("showtell.data.shards.shard_set.write_index", None)
    monkeypatch.setattr("showtell.data.shards.shard_set._summarize", None)
    train(config(vocab={"threshold": 20}, training={"max_steps": 1}), tmp_path / "two")
    sizes = [len((tmp_path / run / "vocabulary.txt").read_text().split()) for run in ("one", "two")]
    assert sizes[0] > sizes[1] > 3


def written_features(tiny_config: MakeConfig, tiny_coco: Path, tmp_path: Path, dtype: str = "float32") -> Path:
    small = {"image_size": 32}
    features = {"dtype": dtype}
    config = tiny_config(cache=str(tmp_path / "cache"), training={"max_steps": 1}, encoder=small, features=features)
    train(config, tmp_path / "stored")
    write_shards(config.data, tmp_path / "features", Limits(6, 1, 0), tmp_path / "cache", "resnet18")
    return tmp_path / "features"


def test_stored_features_become_shards_of_features(
    config: MakeConfig, tiny_config: MakeConfig, tiny_coco: Path, tmp_path: Path
) -> None:
    root = written_features(tiny_config, tiny_coco, tmp_path)
    kinds = [(bool(s.picture), bool(s.features)) for s in read_members(root / "train-000000.tar").samples]
    assert kinds == [(False, True)] * 6
    assert all(s.picture and s.features for s in read_members(root / "val-000000.tar").samples)
    run = tmp_path / "run"
    best = train(config(root, training={"max_epochs": 12, "learning_rate": 0.02, "monitor": "val/loss"}), run)
    assert best < 0.7 and (run / "predictions/grid.png").is_file()


@pytest.mark.parametrize("dtype", [pytest.param("bfloat16", marks=pytest.mark.slow), "int8"])
def test_shards_hold_features_of_every_dtype(
    config: MakeConfig, tiny_config: MakeConfig, tiny_coco: Path, tmp_path: Path, dtype: str
) -> None:
    found = {}
    for one in (dtype, "float32"):
        root, features = written_features(tiny_config, tiny_coco, tmp_path / one, one), {"dtype": one}
        for way, data in (("written", {"root": root}), ("encoded", {"features": features})):
            train(config(**data, training={"max_epochs": 1}), tmp_path / one / way)
            found[one, way] = [
                *map(float, losses(tmp_path / one / way)),
                float(rows(tmp_path / one / way)[-1]["val/loss"]),
            ]
    for way in ("written", "encoded"):
        assert found[dtype, way] == pytest.approx(found["float32", way], abs=0.01)
        assert found[dtype, way] != found["float32", way]


def test_a_pair_of_encoders_makes_feature_shards_of_both(config: MakeConfig, tmp_path: Path) -> None:
    pair = {"name": "pair", "first": "resnet18", "second": "mobilenet_v3_small"}
    for mode in ("store", "off"):
        train(config(encoder=pair, features={"mode": mode}, training={"max_epochs": 1}), tmp_path / mode)
    first, second = (list(map(float, losses(tmp_path / mode))) for mode in ("store", "off"))
    assert first == pytest.approx(second, abs=1e-3)


def test_features_of_another_encoder_are_refused(
    config: MakeConfig, tiny_config: MakeConfig, tiny_coco: Path, tmp_path: Path
) -> None:
    root = written_features(tiny_config, tiny_coco, tmp_path)
    with pytest.raises(ConfigError, match=r"encoder.name=resnet34 did not make the features in .*train-000000.tar"):
        train(config(root, encoder={"name": "resnet34"}), tmp_path / "run")
    with pytest.raises(ShardError, match="no caption with pictures in 4 shard"):
        train(config(root, features={"mode": "off"}), tmp_path / "run")


def foreign(root: Path, size: int, count: int = 8) -> Path:
    """Feature shards of somebody else, without pictures even for validation."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        with shard_writer(root / f"{split}-0.tar") as writer:
            for row in range(count):
                writer.add(
                    str(row), ["a thing", "some other thing here"], features=random.normal(size=size).astype("f4")
                )
    return root


def test_foreign_features_train_and_say_what_is_assumed(
    config: MakeConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(config(foreign(tmp_path / "fit", 512)), tmp_path / "run")
    assert "does not say which encoder made its features; taken for resnet18's" in capsys.readouterr().out
    assert (tmp_path / "run/predictions/grid.png").is_file()
    with pytest.raises(ConfigError, match=r"gives features of shape \(512,\), those in .* are of shape \(100,\)"):
        train(config(foreign(tmp_path / "misfit", 100)), tmp_path / "other")


def broken_copy(shards: Path, root: Path) -> Path:
    """One picture of the second shard is cut, one sample of it has lost its caption."""
    shutil.copytree(shards, root)
    source = root / "train-000001.tar"
    with tarfile.open(source) as archive:
        members = [(member.name, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]
    with tarfile.open(source, "w") as archive:
        for place, (name, data) in enumerate(members):
            kept = data[:200] if place == 0 else data
            info = tarfile.TarInfo(name)
            info.size = len(kept)
            if place != 3:
                archive.addfile(info, io.BytesIO(kept))
    return root


@pytest.mark.parametrize("mode", ["off", "store"])
def test_what_cannot_be_used_is_left_out_or_refused(
    config: MakeConfig, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    root, features = broken_copy(shards, tmp_path / "broken"), {"mode": mode}
    train(config(root, features=features, training={"max_epochs": 1}), tmp_path / "run")
    told = capsys.readouterr().out
    assert "tiny train: 2 things left out, e.g. " in told and "train-000001.tar" in told
    listed = Path(told.partition("(all in ")[2].partition(")")[0]).read_text()
    assert "has no caption" in listed and "a damaged or unusual JPEG" in listed
    with pytest.raises(ConfigError, match=r"train-000001.tar: .*\(2 such\); mend it, or use data.bad_pictures=skip"):
        train(config(root, features=features, data={"bad_pictures": "fail"}), tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"train_shards": "nothing-*.tar"}}, "data.train_shards=nothing-*.tar: no file matches"),
        ({"data": {"val_shards": None}}, "data.val_shards is not set"),
        (
            {"data": {"augment": {"jitter": 0.2}}, "features": {"mode": "off"}},
            "not with data=shards; set it back, or use a folder",
        ),
        ({"objective": {"name": "self_critical"}}, "objective=self_critical needs all captions in memory"),
    ],
)
def test_mistakes_are_one_line(config: MakeConfig, tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as refused:
        train(config(**change), tmp_path / "run")
    assert message in str(refused.value) and "\n" not in str(refused.value)
