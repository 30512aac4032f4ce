"""From `data=...` to pictures with captions: finds the files of a split, reads and checks them.

A reader knows one layout (`coco`, `karpathy`, `flickr`); what they share is here: where files lie, whether
the pictures are there, and what to do about what is not. A fault of the file is an error, because guessing
would train on wrong pairs; a picture or caption that merely cannot be used is left out with a line, or
refused under `data.bad_pictures=fail`. Whether pictures are there is answered by one listing per folder
instead of a question per picture.
"""

import os
from pathlib import Path
from typing import Literal

from showtell.config import DataConfig
from showtell.data.coco import read_coco
from showtell.data.files import shown, why_unreadable
from showtell.data.flickr import read_flickr, select
from showtell.data.karpathy import read_karpathy
from showtell.data.records import AnnotationError, Picture, Split
from showtell.data.settings import FlickrConfig

__all__ = ["AnnotationError", "Picture", "Split", "SplitName", "read_split"]

SplitName = Literal["train", "val", "test"]


def read_split(config: DataConfig, split: SplitName, *, check_files: bool = True) -> Split:
    """Reads one split of a data set.

    Args:
        config: where the files lie and in which format.
        split: `test` exists in Karpathy's format only.
        check_files: leave out pictures that are not on disk; False reads captions alone.

    Raises:
        AnnotationError: no data there, a file that is not what it should be, no usable picture, or, under
            `data.bad_pictures=fail`, anything that would have been left out.
    """
    root = _root(config)
    result = _read(config, root, split)
    if check_files:
        result = _without_missing(result, _folder(config, root, split))
    if not result.pictures:
        reason = result.skipped[0] if result.skipped else "it is empty"
        raise AnnotationError(f"data={config.name}: no usable picture in the {split} split; {reason}")
    if config.bad_pictures == "fail" and result.skipped:
        raise AnnotationError(
            f"{result.skipped[0]} ({len(result.skipped)} such); repair it or set data.bad_pictures=skip"
        )
    return result


def source_files(config: DataConfig, split: SplitName) -> list[Path]:
    """The files that a split's captions come from, for a key by content.

    Raises:
        AnnotationError: no data there.
    """
    root = _root(config)
    _check_folder(_folder(config, root, split))
    named = (config.train_split, config.val_split) if isinstance(config, FlickrConfig) else ()
    splits = [root / name for name in named if name]
    return [_annotations(config, root, split), *(path for path in splits if path.is_file())]


def _read(config: DataConfig, root: Path, split: SplitName) -> Split:
    file = _annotations(config, root, split)
    folder = _folder(config, root, split)
    if config.format == "karpathy":
        return read_karpathy(file, folder, split)
    if split == "test":
        raise AnnotationError(f"data={config.name} has no test split; only data.format=karpathy has one")
    if isinstance(config, FlickrConfig):
        train_split, val_split = (root / name if name else None for name in (config.train_split, config.val_split))
        shared = config.train_annotations == config.val_annotations
        return select(read_flickr(file, folder), split, train_split, val_split, shared=shared)
    return read_coco(file, folder)


def _root(config: DataConfig) -> Path:
    if config.format == "shards":
        raise AnnotationError(f"data={config.name} lies in shards and has no annotation files; give another data set")
    root = Path(config.root).expanduser()
    if not root.is_dir():
        drawn = config.format == "shapes"
        remedy = "`python train.py` draws it" if drawn else f"set it to where {config.name} lies"
        raise AnnotationError(f"data.root={shown(config.root)} is no folder; {remedy}")
    return root


def _annotations(config: DataConfig, root: Path, split: SplitName) -> Path:
    training = split == "train"
    key = "train_annotations" if training else "val_annotations"
    file = root / (config.train_annotations if training else config.val_annotations)
    reason = why_unreadable(file)
    if reason:
        raise AnnotationError(f"{shown(file)} {reason} (data.{key}, relative to data.root={shown(config.root)})")
    return file


def _folder(config: DataConfig, root: Path, split: SplitName) -> Path:
    return root / (config.train_images if split == "train" else config.val_images)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise AnnotationError(
            f"{shown(folder)} is no folder that is there; set data.root, data.train_images, data.val_images"
        )


def _without_missing(split: Split, folder: Path) -> Split:
    _check_folder(folder)
    listings: dict[str, set[str]] = {}
    present, missing = [], []
    for picture in split.pictures:
        parent, name = os.path.split(picture.path)
        if parent not in listings:
            listings[parent] = set(os.listdir(parent)) if os.path.isdir(parent) else set()
        if name in listings[parent]:
            present.append(picture)
        else:
            missing.append(f"{shown(picture.path)} is not there; left out")
    return Split(present, [*missing, *split.skipped])
