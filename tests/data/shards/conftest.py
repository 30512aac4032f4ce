"""The tiny data set as shards, written by the tool."""

from collections.abc import Callable
from pathlib import Path

import pytest

from showtell.config import DataConfig
from showtell.data.shards.command import Limits, write_shards
from showtell.data.shards.index import IndexRequest
from showtell.data.shards.members import find_shards
from showtell.data.shards.shard_set import ShardSet, open_shards

Open = Callable[..., ShardSet]


def coco_config(root: Path) -> DataConfig:
    return DataConfig(name="tiny", format="coco", root=str(root))


@pytest.fixture(scope="session")
def tiny_shards(tiny_coco: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 + 6 pictures with two captions each, five pictures per shard; nobody may write into it."""
    root = tmp_path_factory.mktemp("shards")
    write_shards(coco_config(tiny_coco), root, Limits(samples=5, megabytes=1, seed=0), root / "cache")
    return root


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    def make(root: Path, pattern: str = "train-*.tar", what: str = "pictures", workers: int = 0) -> ShardSet:
        paths = find_shards(str(root), pattern, "data.train_shards")
        request = IndexRequest(50, decode=what == "pictures")
        return open_shards(paths, what, request, tmp_path / "index", workers)

    return make
