"""Each logger really writes a run down, and a resume goes on in the same run there: nothing twice, nothing missing."""

import csv
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from showtell.config import Config
from showtell.config.words import read_words
from showtell.errors import UserError
from showtell.run import Run
from showtell.training.train import train

MakeConfig = Callable[..., Config]
Points = list[tuple[str, int, float]]
TIMED = "per_second"


def csv_points(run: Run) -> tuple[Points, set[str]]:
    with run.metrics_file.open() as file:
        rows = list(csv.DictReader(file))
    points = [(name, int(row["step"]), float(row[name])) for row in rows for name in row if row[name] and "/" in name]
    return points, set()


def tensorboard_points(run: Run) -> tuple[Points, set[str]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.directory))
    events.Reload()
    names = events.Tags()["scalars"]
    return [(name, one.step, one.value) for name in names for one in events.Scalars(name)], {*events.Tags()["images"]}


def wandb_points(run: Run) -> tuple[Points, set[str]]:
    """Of the files that `wandb sync` uploads: one per start, all of one run."""
    from wandb.proto.wandb_internal_pb2 import Record

    points, pictures, ids = Points(), set[str](), set[str]()
    for file in sorted((run.directory / "wandb").glob("offline-run-*/*.wandb")):
        for content in level_records(file.read_bytes()):
            record = Record.FromString(content)
            ids |= {record.run.run_id} - {""}
            row = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            names = [name for name in row if "/" in name and row[name][0] in "-0123456789" and name.count("/") == 1]
            points += [(name, int(row["trainer/global_step"]), float(row[name])) for name in names]
            pictures |= {name.removesuffix("/_type") for name in row if row[name] == '"image-file"'}
    assert len(ids) == 1
    return [one for one in points if one[0] != "trainer/global_step"], pictures


def level_records(content: bytes) -> Iterator[bytes]:
    """LevelDB's log format: blocks of 32 KiB of pieces with checksum, length and type; 1 is a whole one, 4 a last."""
    place, whole = 7, b""
    while place + 7 <= len(content):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        size, kind = struct.unpack_from("<HB", content, place + 4)
        whole += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):
            yield whole
            whole = b""


def mlflow_points(run: Run) -> tuple[Points, set[str]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{run.directory.parent}/mlflow.db")
    (experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED" and found.data.params["training.batch_size"] == "7"
    names = [name for name in found.data.metrics if "/" in name]
    points = [(n, one.step, one.value) for n in names for one in client.get_metric_history(found.info.run_id, n)]
    images = {one.path.rpartition("/")[2] for one in client.list_artifacts(found.info.run_id, "images")}
    return points, {one.partition("+")[0].replace("~", "/") for one in images}


def trackio_points(run: Run) -> tuple[Points, set[str]]:
    from trackio.sqlite_storage import SQLiteStorage

    (found,) = SQLiteStorage.get_runs("captions")
    rows = SQLiteStorage.get_logs("captions", found)
    points = [(n, row["step"], row[n]) for row in rows for n in row if "/" in n and not isinstance(row[n], dict)]
    kinds = [(n, row[n]) for row in rows for n in row if isinstance(row[n], dict)]
    return points, {name for name, value in kinds if value["_type"] == "trackio.image"}


READ = {"tensorboard": tensorboard_points, "wandb": wandb_points, "mlflow": mlflow_points, "trackio": trackio_points}


def same_bits(first: Any, second: Any) -> bool:
    return all(torch.equal(value, second["state_dict"][name]) for name, value in first["state_dict"].items())


def check_resume(tiny_config: MakeConfig, folder: Path, *loggers: str) -> Run:
    """Two epochs at once, and one by one with the second trained twice, as after a kill before its checkpoint."""
    chosen = {"loggers": [*loggers, "csv"]}
    whole, parts = Run(folder / "whole" / "run"), Run(folder / "parts" / "run")
    train(tiny_config(training={**chosen, "loggers": ["csv"]}), whole.directory)
    train(tiny_config(training={**chosen, "max_epochs": 1}), parts.directory)
    kept = shutil.copy(parts.last, folder / "kept.ckpt")
    for _ in range(2):
        shutil.copy(kept, parts.last)
        train(tiny_config(training={**chosen, "max_epochs": 2}, resume=str(parts.directory)), parts.directory)
    first, second = (torch.load(run.last, weights_only=True) for run in (whole, parts))
    assert same_bits(first, second)
    expected = {(name, step): value for name, step, value in csv_points(whole)[0] if TIMED not in name}
    assert {(name, step): value for name, step, value in csv_points(parts)[0] if TIMED not in name} == expected
    for name in loggers:
        points, pictures = READ[name](parts)
        assert len({(curve, step) for curve, step, _ in points}) == len(points), "a point twice"
        found = {(curve, step): value for curve, step, value in points}
        assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-6)
        assert {key[0] for key in found.keys() - expected.keys()} >= {"best/cider_mean"}
        assert {one for one in pictures if "captions" in one}
    return parts


def test_a_resume_goes_on_in_the_same_files(tiny_config: MakeConfig, tmp_path: Path) -> None:
    check_resume(tiny_config, tmp_path, "tensorboard")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what these packages deprecate of each other
@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_a_resume_goes_on_in_the_same_run_of_a_tracker(
    name: str, tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pytest.importorskip(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    if name == "trackio":  # it has read TRACKIO_DIR when it was imported
        for module in ("trackio.utils", "trackio.sqlite_storage"):
            monkeypatch.setattr(f"{module}.TRACKIO_DIR", tmp_path / "trackio")
    check_resume(tiny_config, tmp_path, name)
    told = {"wandb": "wandb sync ", "mlflow": "mlflow ui --backend-store-uri sqlite:///", "trackio": "trackio show "}
    assert told[name] in capsys.readouterr().out


def test_a_tracker_that_is_not_installed_is_one_line_before_any_work(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("showtell.training.logs.find_spec", lambda package: None)
    config = tiny_config(training={"loggers": ["csv", "wandb"]}, cache=str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"wandb wants the package wandb, .*; pip install '\.\[wandb\]', or leave"):
        train(config, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_logger_is_short_for_the_setting() -> None:
    said = ["logger=wandb", "logger=[tensorboard,mlflow]"]
    assert read_words(said, {}) == ["training.loggers=[wandb]", "training.loggers=[tensorboard,mlflow]"]
