"""Shared fixtures: a tiny data set in COCO's real layout, drawn here, and a run that was really trained on it."""

import json
import os
import random
import runpy
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from absl import logging as absl_logging
from PIL import Image, ImageDraw

from showtell.config import Config, SweepConfig, parse
from showtell.config.setting import flat, spelled

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SHOWTELL_SHARED", REPOSITORY.parent / "shared")) / "data"
COLORS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220), "yellow": (240, 210, 50)}
SIZES = [(64, 48), (48, 64), (80, 80), (40, 100)]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tests run side by side; torch's threads would fight for the cores, also those of the commands that tests run."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session", autouse=True)
def logging_of_libraries() -> None:
    """A handler of `absl`, which OpenVINO and TensorBoard bring, closes its stream when logging is configured anew.

    That stream is pytest's where a test is the first to import it, and all later tests would fail.
    """
    absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__  # which it leaves open


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Tests interrupt what they start; a shell's background is deaf to SIGINT, and hands that on."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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


def tiny_settings(root: Path, cache: Path) -> dict[str, Any]:
    """Settings of a run of seconds: a random ResNet18, stored features, a small decoder."""
    return {
        "data": {"name": "tiny", "format": "coco", "root": str(root), "num_workers": 0},
        "encoder": {"name": "resnet18", "weights": "none"},
        "decoder": {"embedding_size": 12, "hidden_size": 16, "dropout": 0.2},
        "vocab": {"threshold": 1},
        "device": {"accelerator": "cpu"},
        "features": {"precision": "float32", "dtype": "float32", "batch_size": 8},
        "training": {"max_epochs": 2, "batch_size": 7, "log_every_steps": 1, "sample_pictures": 3},
        "cache": str(cache),
    }


def merged(settings: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """Settings with some of their sections changed; of features that are not stored, no type."""
    found = settings | {
        name: {**settings.get(name, {}), **section} if isinstance(section, dict) else section
        for name, section in sections.items()
    }
    if found.get("features", {}).get("mode") == "off":
        found["features"] = {key: value for key, value in found["features"].items() if key != "dtype"}
    return found


def as_words(settings: dict[str, Any], *left_out: str) -> list[str]:
    """The words of a command line that say all of these sections, so that no recipe's values are left."""
    whole = parse(settings).as_dict()
    sections = {name: whole[name] for name in (*settings, "decoding") if name not in left_out}
    return [f"{key}={spelled(value)}" for key, value in flat(sections).items()]


@pytest.fixture(scope="session")
def tiny_overrides(tiny_coco: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """`tiny_settings` with a cache that is shared."""
    return tiny_settings(tiny_coco, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def tiny_config(tiny_overrides: dict[str, Any]) -> Callable[..., Config]:
    """Makes a configuration of a tiny run: `tiny_config(training={"max_epochs": 3})`."""
    return lambda **sections: parse(merged(tiny_overrides, **sections))


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """What the condition says once it says something."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, f"waited {seconds} s in vain"
        time.sleep(0.05)
    return value


def hopeless_trial(folder: Path) -> tuple[Any, int]:
    """A search in a folder whose runs were all better than any can be, and the number of one more trial."""
    pytest.importorskip("optuna")
    from optuna.distributions import FloatDistribution

    from showtell.sweeps.search import Search, open_trial

    search = Search(folder, {"x": FloatDistribution(0, 1)}, [], SweepConfig(trials=5), "min", 1)
    *good, hopeless = [number for number, _ in search.proposals()]
    for number in good:
        trial = open_trial(search.path, number)
        for epoch in range(6):
            trial.report(1e-3, epoch)
        search.study.tell(number, 1e-3)
    return search, hopeless


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
