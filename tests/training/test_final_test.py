"""`training.test=true`: the test split is scored once, when training has come to its end."""

import csv
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import predict
import pytest
import pytorch_lightning as pl
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from showtell.checkpointing.io import save_checkpoint
from showtell.config import Config, ConfigError
from showtell.errors import UserError
from showtell.evaluation.resampling import samples
from showtell.evaluation.sums import load_statistics
from showtell.run import Run
from showtell.training import final_test
from showtell.training.data_module import open_source
from showtell.training.train import train

MakeConfig = Callable[..., Config]


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def data(tiny_coco: Path) -> dict[str, Any]:
    """The validation pictures as a test split."""
    return {"root": str(tiny_coco), "test_annotations": "annotations/captions_val.json", "test_images": "val"}


def logged(run: Path) -> list[float]:
    """The values of `test/cider` in metrics.csv."""
    with (run / "metrics.csv").open() as file:
        return [float(row["test/cider"]) for row in csv.DictReader(file) if row.get("test/cider")]


def test_scores_are_those_of_predict_on_the_best_checkpoint(
    tiny_config: MakeConfig, data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    run = tmp_path / "run"
    config = tiny_config(data=data, training={"test": True, "learning_rate": 0.03, "monitor": "val/loss"})
    train(config, run)
    said = capsys.readouterr().out
    assert "test split of tiny: 6 pictures, 12 references (best.ckpt" in said
    assert "at its best (val split: 6 pictures, 12 references)." in said
    monkeypatch.setattr(
        sys, "argv", ["predict.py", *map(str, (run, "--split", "test", "--scores", tmp_path / "s.json"))]
    )
    assert predict.main() == 0
    by_hand, found = (json.loads(file.read_text()) for file in (tmp_path / "s.json", run / "test.scores.json"))
    assert found["scored_on"] == by_hand["scored_on"] and found["scored_on"]["split"] == "test"
    assert found["scores"] == by_hand["scores"] and found["variety"] == by_hand["variety"]
    for row, other in zip(found["pictures"], by_hand["pictures"], strict=True):
        assert row.pop("log_prob") == pytest.approx(other.pop("log_prob"), abs=1e-3) and row == other
    assert logged(run) == [found["scores"]["cider"]]
    events = EventAccumulator(str(run))
    events.Reload()
    assert [one.value for one in events.Scalars("test/cider")] == pytest.approx(logged(run))
    results = json.loads((run / "predictions/captions_test.json").read_text())
    assert [entry["image_id"] for entry in results] == list(range(1001, 1007))
    assert "|split:test|pics:6|refs:2|form:coco|" in found["signature"] and found["signature"] in said
    assert found["intervals"] == by_hand["intervals"]
    kept = load_statistics(Run(run).statistics("test"))
    assert kept is not None and samples([kept.sums])[0]["bleu4"].value == pytest.approx(found["scores"]["bleu4"])


def test_a_resumed_run_is_tested_again_at_its_new_end(
    tiny_config: MakeConfig, data: dict[str, Any], tmp_path: Path
) -> None:
    train(tiny_config(data=data, training={"test": True, "max_epochs": 1}), tmp_path)
    (tmp_path / "test.scores.json").unlink()
    train(tiny_config(data=data, training={"test": True, "max_epochs": 2}, resume=str(tmp_path)), tmp_path)
    assert (tmp_path / "test.scores.json").is_file() and len(logged(tmp_path)) == 1
    plain = tiny_config(data=data, training={"max_epochs": 2})
    train(plain, tmp_path / "untested")
    states = [
        torch.load(one / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for one in (tmp_path, tmp_path / "untested")
    ]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_a_run_that_is_stopped_in_the_test_is_not_finished_and_a_resume_scores(
    tiny_config: MakeConfig, data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = final_test.FixedLoader.__iter__

    def stopping(self: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return batches(self)

    training = {"test": True, "learning_rate": 0.03}
    with monkeypatch.context() as patch:
        patch.setattr(final_test, "FixedLoader", type("Stopping", (final_test.FixedLoader,), {"__iter__": stopping}))
        with pytest.raises(SystemExit) as stopped:
            train(tiny_config(data=data, training=training), tmp_path)
    assert stopped.value.code == 128 + signal.SIGTERM
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["state"], status["reason"]) == ("stopped", "the test split is not scored yet; a resume scores it")
    last = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert not (tmp_path / "test.scores.json").exists()
    train(tiny_config(data=data, training=training, resume=str(tmp_path)), tmp_path)
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "finished" and len(logged(tmp_path)) == 1
    train(tiny_config(data=data, training={"learning_rate": 0.03}), tmp_path / "untested")
    whole = torch.load(tmp_path / "untested/checkpoints/last.ckpt", weights_only=True)
    assert all(torch.equal(value, whole["state_dict"][name]) for name, value in last["state_dict"].items())


def test_what_cannot_be_tested_is_refused_before_training(
    tiny_config: MakeConfig, data: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"training\.test=true: data=tiny has no test split, .*, or leave it out"):
        tiny_config(training={"test": True})
    for change, message in (
        ({"test_annotations": "gone.json"}, r"gone\.json is not there"),
        (
            {"test_images": "train"},
            r"none of the 6 test pictures .*; set data\.test_images=val",
        ),
        ({"test_annotations": str(tmp_path / "bare.json")}, r"6 pictures but no captions"),
    ):
        content = json.loads((Path(data["root"]) / "annotations/captions_val.json").read_text())
        (tmp_path / "bare.json").write_text(json.dumps({"images": content["images"]}))
        with pytest.raises(UserError, match=message):
            train(
                tiny_config(data={**data, **change}, cache=str(tmp_path / "cache"), training={"test": True}),
                tmp_path / "run",
            )
        assert not (tmp_path / "run").exists()
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)


def test_a_stop_leaves_the_module_with_the_weights_it_had(tmp_path: Path) -> None:
    """They are written to last.ckpt once more."""
    module = pl.LightningModule()
    module.layer = torch.nn.Linear(2, 2)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    best = {name: value + 1 for name, value in before.items()}
    save_checkpoint({"state_dict": best}, tmp_path / "best.ckpt")
    with pytest.raises(SystemExit), final_test.weights_of(tmp_path / "best.ckpt", module, torch.device("cpu")):
        assert not module.training
        assert all(torch.equal(value, best[name]) for name, value in module.state_dict().items())
        raise SystemExit
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_few_batches_score_pictures_that_were_encoded(tiny_config: MakeConfig, tiny_coco: Path, tmp_path: Path) -> None:
    """`training.limit_val_batches` encodes what is captioned; training longer forgets what an earlier end was worth."""
    train_split = {"test_annotations": "annotations/captions_train.json", "test_images": "train"}
    limits = {"limit_val_batches": 1, "val_pictures": 3, "batch_size": 4}
    config = tiny_config(
        data={"root": str(tiny_coco), **train_split}, training={"test": True, **limits}, cache=str(tmp_path / "cache")
    )
    train(config, tmp_path / "run")
    source = open_source(config)
    source.find_test()
    scored = {row["image_id"] for row in json.loads((tmp_path / "run" / "test.scores.json").read_text())["pictures"]}
    rows = [row for row, number in enumerate(source.test.captions.picture_ids.tolist()) if number in scored]
    assert len(rows) == 4
    state = next((tmp_path / "cache" / "features").glob("*-test-*/state.bin")).read_bytes()
    assert {state[row] for row in rows} == {1}
    longer = replace(config, training=replace(config.training, test=False, max_epochs=3), resume=str(tmp_path / "run"))
    train(longer, tmp_path / "run")
    assert not (tmp_path / "run" / "test.scores.json").exists()
