"""A data set that only a plugin can read, the real scripts as processes of their own, and plugins within a test."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from showtell import errors
from showtell.config import Config, parse, plugins, registry

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = Path(__file__).with_name("parts")
TRAIN, PREDICT = REPOSITORY / "train.py", REPOSITORY / "predict.py"


@pytest.fixture(scope="module")
def tabbed(tiny_coco: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set, its captions as `NAME<tab>CAPTION`."""
    root = tmp_path_factory.mktemp("data") / "tabbed"
    root.mkdir()
    for split in ("train", "val"):
        found = json.loads((tiny_coco / "annotations" / f"captions_{split}.json").read_text())
        names = {image["id"]: image["file_name"] for image in found["images"]}
        lines = [f"{names[one['image_id']]}\t{one['caption']}\n" for one in found["annotations"]]
        (root / f"{split}.tsv").write_text("".join(lines))
        (root / split).symlink_to(tiny_coco / split)
    return root


@pytest.fixture(scope="module")
def words(tabbed: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A command line of seconds that chooses something of every plugin."""
    return [
        "data=tabbed", f"data.root={tabbed}", "data.train_annotations=train.tsv", "data.val_annotations=val.tsv",
        "data.num_workers=0", "decoder=bigram", "objective=focal", "training.metrics=[length]",
        "training.monitor=val/length", "training.loggers=[csv,lines]", "encoder=tiny_cnn", "encoder.weights=none",
        "vocab.threshold=1", "vocab.tokenizer=blanks", "device.accelerator=cpu", "features.precision=float32",
        "training.max_epochs=2", "training.batch_size=24", "training.log_every_steps=1", "training.sample_pictures=2",
        f"cache={tmp_path_factory.mktemp('cache')}", "hydra/job_logging=none",
    ]  # fmt: skip


def call(
    script: Path, *words: object, folder: Path, before: tuple[str, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs a script to its end."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}
    command = [sys.executable, *before, str(script), *map(str, words)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_parts", dict(registry._parts))
    monkeypatch.setattr(registry, "failures", {})
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(plugins, "_sources", [])
    monkeypatch.setattr(errors, "plugin_files", set())


@pytest.fixture
def plugin_config(registered: None, tiny_overrides: dict[str, Any], tabbed: Path) -> Callable[..., Config]:
    """A tiny run with all plugins, imported from `parts` or another folder: `plugin_config(folder)`."""

    def make(folder: Path = PARTS) -> Config:
        plugins.load(folder)
        files = {"train_annotations": "train.tsv", "val_annotations": "val.tsv"}
        chosen = {"monitor": "val/length", "metrics": ["length"], "loggers": ["csv", "lines"]}
        return parse(
            {
                **tiny_overrides,
                "data": {"format": "tabbed", "root": str(tabbed), "num_workers": 0, **files},
                "encoder": {"name": "tiny_cnn", "weights": "none"},
                "decoder": {"name": "bigram"},
                "objective": {"name": "focal"},
                "training": {"max_epochs": 1, "batch_size": 24, "sample_pictures": 1, "log_every_steps": 1, **chosen},
            }
        )

    return make
