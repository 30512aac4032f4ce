"""Shared fixtures: a tiny data set in COCO's real layout, drawn here, and a run that was really trained on it."""

import json
import os
import random
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from showtell.config import Config, parse

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SHOWTELL_SHARED", REPOSITORY.parent / "shared")) / "data"
COLORS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220), "yellow": (240, 210, 50)}
SIZES = [(64, 48), (48, 64), (80, 80), (40, 100)]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tests run side by side; torch's threads would fight for the cores."""
    torch.set_num_threads(1)


@pytest.fixture
def shared_data() -> Path:
    """Real pictures and captions, where they are at hand."""
    if not SHARED.is_dir():
        pytest.skip("the real data is not here")
    return SHARED


def draw_coco(root: Path, train: int = 24, val: int = 6, seed: int = 0) -> Path:
    """Draws coloured discs and boxes of many picture sizes, with two captions each, in COCO's layout."""
    rng = random.Random(seed)
    (root / "annotations").mkdir(parents=True)
    for split, count, first in (("train", train, 1), ("val", val, 1001)):
        (root / split).mkdir()
        images, annotations = [], []
        for number in range(first, first + count):
            color, kind = rng.choice(list(COLORS)), rng.choice(["disc", "box"])
            picture = Image.new("RGB", SIZES[number % len(SIZES)], (235, 235, 235))
            shape = ImageDraw.Draw(picture)
            (shape.ellipse if kind == "disc" else shape.rectangle)((8, 8, 36, 36), fill=COLORS[color])
            name = f"{split}_{number:012d}.jpg"
            picture.save(root / split / name, quality=90)
            images.append({"id": number, "file_name": name, "width": picture.width, "height": picture.height})
            for text in (f"A {color} {kind}.", f"there is a {color} {kind} on a gray ground"):
                annotations.append({"id": len(annotations) + first * 10, "image_id": number, "caption": text})
        content = {"info": {}, "licenses": [], "images": images, "annotations": annotations}
        (root / "annotations" / f"captions_{split}.json").write_text(json.dumps(content))
    return root


@pytest.fixture(scope="session")
def tiny_coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 24 + 6 pictures; nobody may write into it."""
    return draw_coco(tmp_path_factory.mktemp("data") / "tiny_coco")


@pytest.fixture(scope="session")
def tiny_overrides(tiny_coco: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Settings of a run of seconds: a random ResNet18, stored features, a small decoder. The cache is shared."""
    return {
        "data": {"name": "tiny", "format": "coco", "root": str(tiny_coco), "num_workers": 0},
        "encoder": {"name": "resnet18", "weights": "none"},
        "decoder": {"embedding_size": 12, "hidden_size": 16, "dropout": 0.2},
        "vocab": {"threshold": 1},
        "device": {"accelerator": "cpu"},
        "features": {"precision": "float32", "dtype": "float32", "batch_size": 8},
        "training": {"max_epochs": 2, "batch_size": 7, "log_every_steps": 1, "sample_pictures": 3},
        "cache": str(tmp_path_factory.mktemp("cache")),
    }


@pytest.fixture
def tiny_config(tiny_overrides: dict[str, object]) -> Callable[..., Config]:
    """Makes a configuration of a tiny run: `tiny_config(training={"max_epochs": 3})`."""

    def make(**sections: object) -> Config:
        merged = dict(tiny_overrides)
        for name, section in sections.items():
            before = merged.get(name)
            merged[name] = {**before, **section} if isinstance(before, dict) and isinstance(section, dict) else section
        return parse(merged)

    return make


@pytest.fixture(scope="session")
def tiny_run(tiny_overrides: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run directory; nobody may write into it."""
    from showtell.training.train import train

    run_dir = tmp_path_factory.mktemp("runs") / "tiny"
    train(parse(tiny_overrides), run_dir)
    return run_dir


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Runs the real train.py with command-line words; gives the run directory."""
    from hydra.core.global_hydra import GlobalHydra

    def run(*words: str) -> Path:
        run_dir = tmp_path / "run"
        monkeypatch.setattr(sys, "argv", ["train.py", *words, f"hydra.run.dir={run_dir}", "hydra/job_logging=none"])
        GlobalHydra.instance().clear()
        runpy.run_path(str(REPOSITORY / "train.py"), run_name="__main__")
        return run_dir

    yield run
    GlobalHydra.instance().clear()
