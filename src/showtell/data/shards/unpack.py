"""Validation shards become ordinary files in the cache.

Validation is small and wants everything at once: references to score against, pictures to show, the same batches every
time. So its shards are unpacked once, into COCO's layout, and everything that works on a folder works on them. Names
are our own numbers; no name from a tar reaches a path.
"""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from showtell.config import DataConfig
from showtell.data.annotations import SplitName, check_split
from showtell.data.contents import content_sum
from showtell.data.derived import Checked, DamagedError, derived, sealed_write, unsealed
from showtell.data.paths import stamp
from showtell.data.settings import ShardsConfig
from showtell.data.shards.index import IndexRequest, member_name
from showtell.data.shards.members import ShardError, find_shards, read_members
from showtell.data.shards.shard_set import ShardSet, open_shards
from showtell.data.shards.writing import suffix_of
from showtell.files import atomic_write, content_key, write_text_atomically

MAX_BYTES = 64 * 2**30


@dataclass(frozen=True)
class Unpacked:
    """A folder in COCO's layout; `features` is the file `(P, ...)` with those of the pictures in order, if any."""

    folder: Path
    features: Path | None

    def data_config(self, config: DataConfig) -> DataConfig:
        """The settings under which the folder is read as the validation split."""
        return replace(
            config, format="coco", root=str(self.folder), val_annotations="captions.json", val_images="pictures"
        )


def unpacked_split(config: ShardsConfig, split: SplitName, cache: Path) -> DataConfig:
    """The settings under which the pictures of a split are read as a validation split, once they are unpacked.

    Raises:
        UserError: there is no such split, or no small one with pictures.
    """
    if split == "train":
        raise ShardError("data=shards: the training split is streamed, and has no list of pictures; score val or test")
    check_split(config, split)
    key = f"{split}_shards"
    paths = find_shards(config.root, getattr(config, key), f"data.{key}")
    request = IndexRequest(config.max_caption_words, decode=False)
    shards = open_shards(paths, "pictures", request, cache, config.num_workers)
    return unpack(shards, cache, f"data.{key}").data_config(config)


def unpack(shards: ShardSet, cache: Path, key: str) -> Unpacked:
    """Writes the samples of shards as files, or finds that done.

    `shards.what` decides which samples are taken, and whether features are kept; `key` is the setting that names them.

    Raises:
        ShardError: they are no small validation set.
    """
    stamps = [[str(path), stamp(path)] for path in shards.paths]
    folder = cache / f"unpacked-{content_key(1, shards.what, stamps)}"
    size = sum(path.stat().st_size for path in shards.paths)
    if size > MAX_BYTES:
        raise ShardError(
            f"{key}: {size / 1e9:.0f} GB are too much for validation, which is unpacked; name fewer shards"
        )
    derived(folder / "complete", lambda: _unpack(shards, folder), lambda: _check(folder))
    features = folder / "features.npy"
    return Unpacked(folder, features if features.is_file() else None)


def _check(folder: Path) -> None:
    """Compares the files with their checksums, which `complete` holds.

    Raises:
        DamagedError: one of them is not as it was written.
    """
    sums: dict[str, int] = json.loads(unsealed(folder / "complete"))
    checked = {place: Checked(place) for place in (folder, folder / "pictures")}
    files = [folder / name for name in sums]
    due = [file for file in files if not checked[file.parent].holds([file])]
    for file in due:
        if content_sum(file, whole=True) != sums[file.relative_to(folder).as_posix()]:
            raise DamagedError(f"{file} is damaged or not there")
    for place, memo in checked.items():
        if own := [file for file in due if file.parent == place]:
            memo.add(own)


def _unpack(shards: ShardSet, folder: Path) -> None:
    shutil.rmtree(folder / "pictures", ignore_errors=True)
    (folder / "pictures").mkdir()
    images: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    features: list[NDArray[Any]] = []
    for number, path in enumerate(shards.paths):
        index = shards.index(number)
        texts = _captions(path, index.keys)
        with path.open("rb") as opened:
            for row in np.flatnonzero(index.there(shards.what)):
                picture = len(images) + 1
                offset, size = index.pictures[row].tolist()
                name = _write_picture(folder / "pictures", picture, os.pread(opened.fileno(), size, max(offset, 0)))
                images.append({"id": picture, "file_name": name})
                notes += [{"image_id": picture, "caption": text} for text in texts[index.keys[row]]]
                if shards.what == "features":
                    offset, size = (index.features[row] + np.array([1, -1]) * index.feature_header).tolist()
                    decoded = index.decoded(os.pread(opened.fileno(), size, offset))
                    # numpy has no bfloat16
                    features.append((decoded.float() if decoded.dtype == torch.bfloat16 else decoded).numpy())
    if features:
        with atomic_write(folder / "features.npy") as target:
            np.save(target, np.stack(features), allow_pickle=False)
    annotations = [{"id": number, **note} for number, note in enumerate(notes, 1)]
    write_text_atomically(folder / "captions.json", json.dumps({"images": images, "annotations": annotations}))
    files = [*folder.glob("pictures/*"), folder / "captions.json", *folder.glob("features.npy")]
    sums = {file.relative_to(folder).as_posix(): content_sum(file, whole=True) for file in files}
    with sealed_write(folder / "complete") as target:
        target.write(json.dumps(sums).encode("ascii"))


def _captions(path: Path, keys: Sequence[str]) -> dict[str, list[str]]:
    found = {sample.key: sample.captions for sample in read_members(path).samples}
    if missing := [key for key in keys if key not in found]:
        raise ShardError(f"{member_name(path, missing[0])} is gone: the shard has changed; start again")
    return found


def _write_picture(folder: Path, number: int, data: bytes) -> str:
    """Writes a picture, or a gray one where the shard has none: something must be shown beside a caption."""
    name = f"{number:08d}.{suffix_of(data) if data else 'png'}"
    if data:
        (folder / name).write_bytes(data)
    else:
        Image.new("RGB", (64, 64), (128, 128, 128)).save(folder / name)
    return name
