"""From `data=...` to pictures with captions: finds the files of a split, reads and checks them.

A fault of a file is an error, because guessing would train on wrong pairs; a picture or caption that merely cannot be
used is left out with a line, or refused under `data.bad_pictures=fail`. Whether pictures are there is answered by one
listing per folder instead of a question per picture.
"""

import os
from pathlib import Path

from showtell.config import DataConfig, find
from showtell.data.annotations import (
    AnnotationError,
    AnnotationFormat,
    Split,
    SplitName,
    check_folder,
    check_split,
    picture_folder,
)
from showtell.data.paths import shown

__all__ = ["AnnotationFormat", "read_split", "source_files"]


def read_split(config: DataConfig, split: SplitName, *, check_files: bool = True, undescribed: bool = False) -> Split:
    """Reads one split of a data set.

    Args:
        config: where the files lie and in which format.
        split: which one.
        check_files: leave out pictures that are not on disk; False reads captions alone.
        undescribed: keep pictures that nobody described, and never fail because something is left out.

    Raises:
        AnnotationError: no data there, a file that is not what it should be, no usable picture, or, under
            `data.bad_pictures=fail`, anything that would have been left out.
    """
    annotations = _format(config, split)
    result = annotations.read(config, split)
    if not undescribed:
        result = _described(result, annotations.files(config, split)[0])
    if check_files:
        result = _without_missing(result, picture_folder(config, split))
    if not result.pictures:
        reason = result.skipped[0] if result.skipped else "it is empty"
        raise AnnotationError(f"data={config.name}: no usable picture in the {split} split; {reason}")
    if config.bad_pictures == "fail" and result.skipped and not undescribed:
        raise AnnotationError(
            f"{result.skipped[0]} ({len(result.skipped)} such); repair it or set data.bad_pictures=skip"
        )
    return result


def source_files(config: DataConfig, split: SplitName) -> list[Path]:
    """The files that a split's captions follow from, for a key by content.

    Raises:
        AnnotationError: no data there.
    """
    found = _format(config, split)
    check_folder(picture_folder(config, split))
    return found.files(config, split)


def _format(config: DataConfig, split: SplitName) -> AnnotationFormat:
    if config.format == "shards":
        raise AnnotationError(f"data={config.name} lies in shards and has no annotation files; give another data set")
    found: AnnotationFormat = find("format", config.format).load()()
    if not Path(config.root).expanduser().is_dir():
        remedy = found.absent.format(name=config.name)
        raise AnnotationError(f"data.root={shown(config.root)} is no folder; {remedy}")
    check_split(config, split)
    return found


def _described(split: Split, file: Path) -> Split:
    """Without the pictures that nobody described."""
    pictures = [picture for picture in split.pictures if picture.captions]
    bare = [f"picture {one.id} ({shown(one.path.name)})" for one in split.pictures if not one.captions]
    if bare and not pictures:
        return Split([], [f"{shown(file)}: none of its {len(bare):,} picture(s) has captions; is it a captions file?"])
    return Split(pictures, [*split.skipped, *(f"{shown(file)}: {one} has no captions; left out" for one in bare)])


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
    return Split(present, [*missing, *split.skipped])
