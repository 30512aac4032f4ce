"""What a batch from shards holds, against the same data set read from its folder."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.shards.conftest import Open, coco_config

from showtell.config import ImageTransform
from showtell.data.caption_set import load_captions
from showtell.data.images import PictureError
from showtell.data.loading import load_in_order
from showtell.data.module import SplitData
from showtell.data.readers import PictureFiles
from showtell.data.shards import batches
from showtell.data.shards.batches import ShardSplit
from showtell.errors import UserError
from showtell.text import Vocabulary

SMALL = ImageTransform(size=8)


def rows_of(loaded) -> list[tuple[bytes, tuple[int, ...]]]:
    found = []
    for batch in loaded:
        pairs = zip(batch["images"], batch["captions"].tolist(), strict=True)
        found += [(image.numpy().tobytes(), tuple(caption)) for image, caption in pairs]
    return found


def from_shards(opened: Open, root: Path, workers: int = 0):
    split = ShardSplit(opened(root), SMALL, buffer=10)
    dataset, plan = split.training_batches(Vocabulary.from_counts(split.counts, 1), 7, seed=3)
    return load_in_order(dataset, plan.epoch(0), workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_hold_what_the_folder_holds(
    tiny_coco: Path, tiny_shards: Path, tmp_path: Path, opened: Open, workers: int
) -> None:
    captions = load_captions(coco_config(tiny_coco), "train", tmp_path)
    folder = SplitData(captions, PictureFiles(captions.paths, SMALL), np.zeros(24, bool))
    dataset, plan = folder.training_batches(Vocabulary.from_counts(folder.counts, 1), 7, seed=3)
    expected = rows_of(load_in_order(dataset, plan.epoch(0), 0))
    assert sorted(rows_of(from_shards(opened, tiny_shards, workers))) == sorted(expected)


def test_workers_do_not_change_the_order(tiny_shards: Path, opened: Open) -> None:
    assert rows_of(from_shards(opened, tiny_shards)) == rows_of(from_shards(opened, tiny_shards, workers=2))


def test_picture_ids_tell_samples_apart(tiny_shards: Path, opened: Open) -> None:
    seen: dict[int, set[bytes]] = {}
    for batch in from_shards(opened, tiny_shards):
        for id, image in zip(batch["picture_ids"].tolist(), batch["images"], strict=True):
            seen.setdefault(id, set()).add(image.numpy().tobytes())
    assert sorted(seen) == list(range(24)) and all(len(images) == 1 for images in seen.values())


def test_open_files_are_bounded(tiny_shards: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = rows_of(from_shards(opened, tiny_shards))
    monkeypatch.setattr(batches, "OPEN_SHARDS", 2)
    before = len(os.listdir("/proc/self/fd"))
    loaded = []
    for batch in from_shards(opened, tiny_shards):
        loaded.append(batch)
        assert len(os.listdir("/proc/self/fd")) <= before + 3  # the listing itself is one
    assert rows_of(loaded) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_a_shard_that_shrinks_meanwhile_is_one_line(
    tiny_shards: Path, tmp_path: Path, opened: Open, workers: int
) -> None:
    root = tmp_path / "shards"
    shutil.copytree(tiny_shards, root)
    loaded = from_shards(opened, root, workers)
    for shard in root.glob("train-*.tar"):
        os.truncate(shard, 600)
    with pytest.raises(UserError, match="the shard has changed since it was indexed") as refused:
        list(loaded)
    assert "\n" not in str(refused.value)
    assert workers or isinstance(refused.value, PictureError)


def test_features_come_in_their_shape_and_type(tmp_path: Path, opened: Open) -> None:
    from showtell.data.shards.writing import shard_writer

    values = np.arange(24, dtype=np.float16).reshape(4, 2, 3)
    with shard_writer(tmp_path / "train-0.tar") as writer:
        for row in range(4):
            writer.add(f"{row}", ["two words"], features=values[row])
    split = ShardSplit(opened(tmp_path, what="features"), SMALL, 10)
    dataset, _ = split.training_batches(Vocabulary.from_counts(split.counts, 1), 4, seed=0)
    batch = dataset[np.array([2, 0, 3, 1])]
    assert torch.equal(batch["images"], torch.from_numpy(values[[2, 0, 3, 1]]))
    assert batch["images"].dtype == torch.float16 and batch["picture_ids"].tolist() == [2, 0, 3, 1]
