"""Features on a disk are read before their batch, and are those that lie in memory."""

import ctypes
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import merged, tiny_settings, wait_until

from showtell.config import DataConfig, TrainingConfig, parse
from showtell.data import loading
from showtell.data.caption_set import load_captions
from showtell.data.features import ahead
from showtell.data.features.ahead import LEAST_BYTES, ReadAhead
from showtell.data.loading import Batch
from showtell.data.module import CaptionData, SplitData
from showtell.data.readers import CachedFeatures
from showtell.distributed import Ranks
from showtell.text import Vocabulary
from showtell.training.data_module import open_source

HEADER, ROW = 128, (3, LEAST_BYTES // 8)
"""Of a file that np.save wrote; rows of float32, one and a half times as large as need be, so that they share pages."""


class OnDisk:
    """Features of P pictures, all 3 p, in a file of which nothing is in memory that was not touched or announced."""

    def __init__(self, path: Path, pictures: int) -> None:
        np.save(path, np.arange(pictures, dtype=np.float32)[:, None, None] * np.full(ROW, 3, np.float32))
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
        self.array: Any = np.load(path, mmap_mode="c")
        # a page that is touched is read without its neighbours
        self.array.base.madvise(mmap.MADV_RANDOM)
        if self.cached().any():
            pytest.skip("the system keeps files of this folder in memory")

    def cached(self) -> NDArray[np.bool_]:
        """`(P,)` of which pictures each page is in memory."""
        pages, begin = np.zeros(-(-len(self.array.base) // mmap.PAGESIZE), np.uint8), self.array.ctypes.data - HEADER
        library = ctypes.CDLL(None, use_errno=True)
        found = library.mincore(
            ctypes.c_void_p(begin), ctypes.c_size_t(len(self.array.base)), ctypes.c_void_p(pages.ctypes.data)
        )
        assert found == 0, os.strerror(ctypes.get_errno())
        size = self.array[0].nbytes
        starts = HEADER + size * np.arange(len(self.array))
        return np.array(
            [(pages[i // mmap.PAGESIZE : -(-(i + size) // mmap.PAGESIZE)] & 1).all() for i in starts.tolist()]
        )


@pytest.fixture
def on_disk(tmp_path: Path) -> OnDisk:
    """24 pictures, as `tiny_coco` has them."""
    if not hasattr(mmap, "MADV_WILLNEED"):
        pytest.skip("this system is not told what is wanted soon")
    return OnDisk(tmp_path / "features.npy", 24)


@pytest.fixture
def two_batches_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches have two pictures; one is read while two are on their way."""
    monkeypatch.setattr(loading, "AHEAD_BYTES", 4 * np.prod(ROW) * 4)


def data(root: Path, cache: Path, images: CachedFeatures, workers: int, ranks: Ranks | None) -> CaptionData:
    captions = load_captions(DataConfig(name="tiny", format="coco", root=str(root)), "train", cache)
    split, words = SplitData(captions, images, np.zeros(24, bool)), Vocabulary.from_counts(captions.counts, 1)
    return CaptionData(split, split, words, TrainingConfig(batch_size=2), seed=3, num_workers=workers, ranks=ranks)


@pytest.mark.usefixtures("two_batches_ahead")
@pytest.mark.parametrize("rank", [None, 1])
@pytest.mark.parametrize("workers", [0, 1])
def test_while_a_batch_is_trained_on_the_next_ones_are_read(
    tiny_coco: Path, tmp_path: Path, on_disk: OnDisk, workers: int, rank: int | None
) -> None:
    ranks = None if rank is None else Ranks(rank, 2)
    read = CachedFeatures(torch.from_numpy(on_disk.array), ahead=[ReadAhead(on_disk.array)])
    module = data(tiny_coco, tmp_path / "cache", read, workers, ranks)
    share = slice(rank, None, ranks.size if ranks else None)
    coming = [module.train.captions.picture_of[rows][share] for rows in list(module.batches.epoch(0))[:7]]
    loader = iter(module.train_dataloader())
    for number in range(3):
        batch = next(loader)
        assert torch.equal(batch["images"][:, 0, 0], torch.from_numpy(coming[number] * 3).float())
        following = np.concatenate(coming[: number + 3 if ranks is None else number + 5])
        wait_until(lambda wanted=following: on_disk.cached()[wanted].all(), 10)
        if workers == 0:
            assert on_disk.cached().sum() == len(set(following))
    if workers:
        list(loader)  # ends the worker


@pytest.mark.parametrize("row", [LEAST_BYTES - 4, LEAST_BYTES])
def test_the_system_is_left_alone_with_small_rows(tmp_path: Path, row: int) -> None:
    mapped = np.memmap(tmp_path / "features.bin", np.uint8, "w+", shape=(5, row))
    assert ReadAhead(mapped)(np.array([4, 0])) == (0 if row < LEAST_BYTES else 2 * row)


def every(parts: CaptionData) -> list[Batch]:
    return [batch for _ in range(2) for batch in steps(parts)] + [
        batch for loader in parts.val_dataloader() for batch in loader
    ]


def steps(parts: CaptionData) -> list[Batch]:
    found = []
    for batch in parts.train_dataloader():
        found.append(batch)
        parts.position.advance(parts.batches_per_epoch)
    return found


@pytest.mark.parametrize("encoder", [{}, {"name": "pair", "first": "resnet18", "second": "resnet34"}])
def test_batches_from_disk_are_those_from_memory(
    tiny_coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: dict[str, str]
) -> None:
    monkeypatch.setattr(ahead, "LEAST_BYTES", 0)
    announced: list[int] = []
    announce = ReadAhead.__call__
    monkeypatch.setattr(ReadAhead, "__call__", lambda *given: announced.append(announce(*given)) or announced[-1])
    changes = {"encoder": {**encoder, "image_size": 32}, "data": {"augment": {"flip": True, "crop_area": 0.5}}}
    found = {}
    for place in ("ram", "disk"):
        assert not announced
        settings = merged(tiny_settings(tiny_coco, tmp_path), features={"views": 3, "place": place}, **changes)
        source = open_source(parse(settings))
        found[place] = every(
            CaptionData(source.train, source.val, source.vocabulary, source.config.training, seed=3, num_workers=0)
        )
    assert len(found["ram"]) == len(found["disk"]) and sum(announced) > 0
    for one, two in zip(found["ram"], found["disk"], strict=True):
        assert all(torch.equal(one[key], two[key]) for key in one)
