"""Flickr8k and Flickr30k: a table of picture names and captions, in each of the forms in which it goes round.

- the original token file, `name.jpg#0<TAB>caption` without a header (Flickr8k.token.txt,
  results_20130124.token);
- a table with a header that names its columns: `image,caption` or `image_name| comment_number| comment`.

Which one it is shows in the first line. Splits are files with one picture name per line. Where there are none and both
splits name the same table, a tenth of the pictures (at most 1,000) become validation: those whose name has the lowest
SHA-256, so the choice depends on nothing but the names. What the list of the test pictures names is in no other split.
The numbers of pictures are their places in the table.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from showtell.config import DataConfig
from showtell.data.annotations import (
    AnnotationError,
    AnnotationFile,
    AnnotationFormat,
    Picture,
    Split,
    SplitName,
    annotation_file,
    picture_folder,
)  # fmt: skip
from showtell.data.formats.table import table_rows
from showtell.data.paths import counted, shown
from showtell.data.settings import FlickrConfig

_VALIDATION_LIMIT = 1000


class FlickrFormat(AnnotationFormat):
    """A table, and lists of the splits' pictures where there are any."""

    def read(self, config: DataConfig, split: SplitName) -> Split:
        """Reads the table and takes a split out of it."""
        table = read_flickr(annotation_file(config, split), picture_folder(config, split))
        shared = config.train_annotations == config.val_annotations
        lists = _lists(config, split)
        if shared and split != "train":
            table = replace(table, skipped=[])  # told of training, so that counts add up
        is_whole = split == "test" and "test" not in lists  # a table of its own
        return table if is_whole else select(table, split, lists, shared=shared)

    def files(self, config: DataConfig, split: SplitName) -> list[Path]:
        """The table and the lists."""
        return super().files(config, split) + [file for file in _lists(config, split).values() if file.is_file()]


def _lists(config: DataConfig, split: SplitName) -> dict[SplitName, Path]:
    """The files that name the pictures of the splits, as far as this split follows from them."""
    assert isinstance(config, FlickrConfig)
    root = Path(config.root).expanduser()
    given: dict[SplitName, str | None] = {"train": config.train_split, "val": config.val_split}
    # where no list says what training has, pictures of the test are kept out of it: Kaggle's copy names none
    held_out = None in given.values() and (root / (config.test_split or "")).is_file()
    if split == "test" or held_out:
        given["test"] = config.test_split
    return {name: root / file for name, file in given.items() if file}


def read_flickr(file: Path, folder: Path) -> Split:
    """Reads the whole table; `select` then takes a split out of it.

    Raises:
        AnnotationError: the file is not what it should be.
    """
    source = AnnotationFile(file)
    captions: dict[str, list[str]] = {}
    for row in table_rows(source, source.text()):
        if row.name not in captions:
            captions[source.picture_name(row.name, row.where)] = []
        captions[row.name] += [caption for text in row.texts if (caption := source.caption(text, row.where))]
    told = enumerate(captions.items())
    pictures = [Picture(number, source.picture_path(folder, name), tuple(said)) for number, (name, said) in told]
    return Split(pictures, source.skipped, source.told)


def select(table: Split, split: SplitName, lists: Mapping[SplitName, Path], *, shared: bool) -> Split:
    """The pictures of one split.

    Args:
        table: what `read_flickr` found.
        split: which one.
        lists: files with the names of splits' pictures; of training and validation one without has what is left.
        shared: whether one table serves both, so that it must be divided if no file does.
    """
    listed = {name: _names(file) for name, file in lists.items()}
    _refuse_common(listed, lists)
    if shared and not {"train", "val"} & listed.keys():
        held_out = listed.get("test", set())
        listed["val"] = lowest_tenth([picture.path.name for picture in table.pictures if not _in(picture, held_out)])
    if split not in listed:
        others = set().union(*listed.values())
        return Split([picture for picture in table.pictures if not _in(picture, others)], table.skipped, table.told)
    wanted = listed[split]
    chosen = [picture for picture in table.pictures if _in(picture, wanted)]
    found = {name for p in chosen for name in (p.path.name, p.path.stem)}
    absent = [
        f"{shown(name)} is in the list of the {split} split but has no captions; left out"
        for name in sorted(wanted - found)
    ]
    return Split(chosen, [*table.skipped, *absent], table.told)


def _refuse_common(listed: Mapping[SplitName, set[str]], lists: Mapping[SplitName, Path]) -> None:
    for one, other in combinations(listed, 2):
        if both := listed[one] & listed[other]:
            raise AnnotationError(
                f"{shown(lists[one])}: names {counted(len(both), 'picture')} of {shown(lists[other])} too, such as "
                f"{shown(min(both))}; no picture may be in both"
            )


def _in(picture: Picture, names: set[str]) -> bool:
    return picture.path.name in names or picture.path.stem in names


def _names(file: Path) -> set[str]:
    return {name for line in AnnotationFile(file).text().splitlines() if (name := line.strip())}


def lowest_tenth(names: list[str]) -> set[str]:
    """The tenth of the names, at least one and at most 1,000, whose SHA-256 is lowest."""
    count = max(1, min(_VALIDATION_LIMIT, len(names) // 10))
    return set(sorted(names, key=lambda name: hashlib.sha256(name.encode("utf-8", "replace")).digest())[:count])
