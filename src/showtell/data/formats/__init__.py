"""From `data=...` to pictures with captions: finds the files of a split, reads and checks them.

A fault of a file is an error, because guessing would train on wrong pairs; a picture or caption that merely cannot be
used is left out with a line, or refused under `data.bad_pictures=fail`. Whether pictures are there is answered by one
listing per folder instead of a question per picture.
"""

import os
from collections.abc import Iterator, Sequence
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
    check_split,
    picture_folder,
)
from showtell.data.formats.advice import advice, nearby, similar_folder
from showtell.data.paths import counted, shown

__all__ = ["AnnotationFormat", "content_files", "listed_pictures", "no_picture_there", "read_split", "resolved"]


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
    with _advised(config, split):
        reader = _format(config, split)
        config = reader.resolved(config)
        result = reader.read(config, split)
        if not undescribed:
            result = _described(result, reader, config, split)
        wanted = result.pictures
        if check_files:
            check_folder(config, split)
            result = _without_missing(result)
    if wanted and not result.pictures:
        raise no_picture_there(config, split, [str(picture.path) for picture in wanted])
    if not result.pictures:
        reason = result.skipped[0] if result.skipped else "it is empty"
        raise AnnotationError(f"data={config.name}: no usable picture in the {split} split; {reason}")
    if config.bad_pictures == "fail" and result.skipped and not undescribed:
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
        check_folder(config, split)
        return found.key(config, split), found.files(config, split)


def listed_pictures(config: DataConfig, split: SplitName) -> list[str]:
    """The files by which reading told what the names of a split's pictures mean. No `auto` may be left."""
    return _format(config, split).listing(config, split)


def no_picture_there(config: DataConfig, split: SplitName, paths: Sequence[str]) -> AnnotationError:
    """The error that says where the pictures of these paths are instead."""
    folder, example = picture_folder(config, split), shown(os.path.basename(paths[0]))
    what = f"none of the {len(paths):,} {split} pictures (such as {example}) is in {shown(folder)}"
    return AnnotationError(f"{what}; {nearby(config, split)}")


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
    check_split(config, split)
    return found


def _described(split: Split, reader: AnnotationFormat, config: DataConfig, name: SplitName) -> Split:
    """Without the pictures that nobody described."""
    pictures = [picture for picture in split.pictures if picture.captions]
    bare = [f"picture {one.id} ({shown(one.path.name)})" for one in split.pictures if not one.captions]
    if not bare:
        return split
    file = shown(next(iter(reader.files(config, name)), config.root))
    if not pictures:
        return Split([], [f"{file}: {counted(len(bare), 'picture')} but no captions; is it a captions file?"])
    skipped = [*split.skipped, *(f"{file}: {one} has no captions; left out" for one in bare)]
    return Split(pictures, skipped, split.told)


def _without_missing(split: Split) -> Split:
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
