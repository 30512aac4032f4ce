"""Listing and deleting feature stores."""

from pathlib import Path

import pytest
import torch
from filelock import FileLock
from torch import Tensor

from showtell.config import ImageTransform
from showtell.data.__main__ import main
from showtell.data.features.request import StoreRequest
from showtell.data.features.store import open_or_build


class Mean:
    feature_shape = (3,)

    def __call__(self, pixels: Tensor) -> Tensor:
        return torch.as_tensor(pixels.mean(dim=(2, 3)))


@pytest.fixture
def cache(tiny_coco: Path, tmp_path: Path) -> Path:
    for name, count in (("birds", 4), ("boats", 6)):
        paths = sorted((tiny_coco / "train").iterdir())[:count]
        request = StoreRequest(name, paths, "mean", ImageTransform(size=8), "float16")
        open_or_build(tmp_path / "features", request, Mean, 4, 0)
    return tmp_path


def stores(cache: Path, *words: str) -> int:
    return main(["stores", "--cache", str(cache), *words])


def names(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "features").iterdir())


def test_lists_name_pictures_and_whether_complete(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    next(cache.glob("features/boats-*/complete")).unlink()
    assert stores(cache) == 0
    _, birds, boats = capsys.readouterr().out.splitlines()
    assert birds.split()[0] == "birds" and birds.split()[2] == "4" and birds.endswith("yes")
    assert boats.split()[2] == "6" and boats.endswith("no")


def test_an_empty_cache_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stores(tmp_path) == 0
    assert "no feature store" in capsys.readouterr().out


def test_deletes_by_key_and_all(cache: Path) -> None:
    birds = next(name for name in names(cache) if name.startswith("birds"))
    assert stores(cache, "--delete", birds.rpartition("-")[2]) == 0
    assert [name.partition("-")[0] for name in names(cache)] == ["boats"]
    assert stores(cache, "--all") == 0
    assert names(cache) == []


def test_an_unknown_key_deletes_nothing(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = names(cache)
    assert stores(cache, "--delete", before[0], "nonsense") == 2
    assert "nonsense: there is no such store" in capsys.readouterr().err
    assert names(cache) == before


def test_a_store_that_is_being_built_is_kept(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = names(cache)
    with FileLock(cache / "features" / before[0] / "lock"):
        assert stores(cache, "--delete", before[0]) == 1
    assert names(cache) == before
    assert "a process is building it" in capsys.readouterr().out
