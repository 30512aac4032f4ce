"""A run on the embedded scenes whose encoder installs with Showtell, and packs."""

from pathlib import Path
from typing import Any

import pytest
from tests.conftest import merged
from tests.prediction.conftest import call as call  # the fixture

from showtell.config import parse


@pytest.fixture(scope="session")
def shapes_run(tiny_overrides: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Attention over EfficientNet-Lite0's regions, trained for an epoch on a few drawn scenes."""
    from showtell.training.train import train

    root = tmp_path_factory.mktemp("scenes") / "shapes"
    drawn = {"format": "shapes", "root": str(root), "shapes": {"train_pictures": 24, "val_pictures": 8}}
    changes: dict[str, Any] = {
        "data": {"name": "shapes", "num_workers": 0, **drawn},
        "encoder": {"name": "efficientnet_lite0", "weights": "imagenet", "pooling": "grid:3"},
        "decoder": {"name": "attention", "region_size": 12, "attention_size": 12},
        "training": {"max_epochs": 1},
    }
    settings = {key: value for key, value in tiny_overrides.items() if key != "data"}
    run_dir = tmp_path_factory.mktemp("runs") / "shapes"
    train(parse(merged(settings, **changes)), run_dir)
    return run_dir


@pytest.fixture(scope="session")
def shapes_pack(shapes_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nobody may write into it."""
    from showtell.sharing.pack import pack

    file = tmp_path_factory.mktemp("packs") / "shapes.zip"
    pack(shapes_run, file)
    return file


@pytest.fixture(scope="session")
def tiny_pack(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run whose encoder has weights of its own; nobody may write into it."""
    from showtell.sharing.pack import pack

    file = tmp_path_factory.mktemp("packs") / "tiny.zip"
    pack(tiny_run, file)
    return file
