"""From `data=...` to pictures with captions: finds the files of a split, reads and checks them.

A fault of a file is an error, because guessing would train on wrong pairs; a picture or caption that merely cannot be
used is left out with a line, or refused under `data.bad_pictures=fail`. Whether pictures are there is answered by one
listing per folder instead of a question per picture.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from showtell.config import DataConfig, find
from showtell.data.annotations import (
    AnnotationError,
    AnnotationFormat,
    MissingDataError,
    Split,
    SplitName,
    check_folder,
    picture_folder,
)
from showtell.data.formats.advice import advice, nearby, similar_folder
from showtell.data.paths import shown

__all__ = ["AnnotationFormat", "content_files", "no_picture_there", "read_split", "resolved"]


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
    with _advised(config, split):
        reader = _format(config, split)
        config = reader.resolved(config)
        result = reader.read(config, split)
        before = len(result.pictures)
        if check_files:
            result = _without_missing(result, picture_folder(config, split))
    if before and not result.pictures:
        raise no_picture_there(config, split, before)
    if not result.pictures:
        reason = result.skipped[0] if result.skipped else "it is empty"
        raise AnnotationError(f"data={config.name}: no usable picture in the {split} split; {reason}")
    if config.bad_pictures == "fail" and result.skipped:
        raise AnnotationError(
            f"{result.skipped[0]} ({len(result.skipped)} such); repair it or set data.bad_pictures=skip"
        )
    return result


def resolved(config: DataConfig, split: SplitName = "train") -> DataConfig:
    """The settings with an answer for each `auto`.

    Raises:
        AnnotationError: nothing there answers it.
    """
    with _advised(config, split):
        return _format(config, split).resolved(config)


def content_files(config: DataConfig, split: SplitName) -> tuple[list[str], list[Path]]:
    """What a split's captions follow from, for a key by content: settings, and files. No `auto` may be left.

    Raises:
        AnnotationError: no data there.
    """
    with _advised(config, split):
        found = _format(config, split)
        check_folder(picture_folder(config, split))
        return found.key(config, split), found.files(config, split)


def no_picture_there(config: DataConfig, split: SplitName, count: int) -> AnnotationError:
    """The error that says where the pictures are instead."""
    folder = shown(picture_folder(config, split))
    found = nearby(config, split)
    return AnnotationError(f"none of the {count:,} {split} pictures is in {folder}; {found}")


@contextmanager
def _advised(config: DataConfig, split: SplitName) -> Iterator[None]:
    """A block whose error about what is not there also says what is."""
    try:
        yield
    except MissingDataError as error:
        better = advice(config, split)
        raise AnnotationError(f"{error.what}; {better}" if better else str(error)) from None


def _format(config: DataConfig, split: SplitName) -> AnnotationFormat:
    if config.format == "shards":
        raise AnnotationError(f"data={config.name} lies in shards and has no annotation files; give another data set")
    found: AnnotationFormat = find("format", config.format).load()()
    if not Path(config.root).expanduser().is_dir():
        remedy = found.absent.format(name=config.name)
        raise AnnotationError(f"data.root={shown(config.root)} is no folder; {remedy}{similar_folder(config.root)}")
    if split not in found.splits:
        raise AnnotationError(f"data={config.name} has no {split} split; only data.format=karpathy has one")
    return found


def _without_missing(split: Split, folder: Path) -> Split:
    check_folder(folder)
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
    return Split(present, [*missing, *split.skipped], split.told)
