"""Calls the real `main()` of predict.py."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import predict
import pytest


class Said(NamedTuple):
    """What a call of predict.py left behind."""

    status: int
    out: str
    err: str


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, words)])
        capsys.readouterr()
        status = predict.main()
        return Said(status, *capsys.readouterr())

    return run


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """METEOR takes seconds to start, and has its own tests."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture(scope="session")
def other_run(tiny_overrides: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the same words with another seed and size."""
    from showtell.config import parse
    from showtell.training.train import train

    training = {**tiny_overrides["training"], "learning_rate": 0.03}
    decoder = {"embedding_size": 10, "hidden_size": 12}
    sections = {**tiny_overrides, "seed": 5, "decoder": decoder, "training": training}
    run_dir = tmp_path_factory.mktemp("runs") / "other"
    train(parse(sections), run_dir)
    return run_dir


@pytest.fixture
def val(tiny_coco: Path) -> list[object]:
    """The words that name the validation pictures."""
    return ["--annotations", tiny_coco / "annotations/captions_val.json", "--images", tiny_coco / "val"]


@pytest.fixture
def without_one(tiny_coco: Path, tmp_path: Path) -> list[object]:
    """The same, with one picture missing and one broken."""
    images = tmp_path / "pictures"
    shutil.copytree(tiny_coco / "val", images)
    names = sorted(path.name for path in images.iterdir())
    (images / names[0]).unlink()
    (images / names[1]).write_bytes(b"no picture")
    return ["--annotations", tiny_coco / "annotations/captions_val.json", "--images", images]


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
