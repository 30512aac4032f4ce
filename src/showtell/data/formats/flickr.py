"""Flickr8k and Flickr30k: a table of picture names and captions, in each of the forms in which it goes round.

- the original token file, `name.jpg#0<TAB>caption` without a header (Flickr8k.token.txt,
  results_20130124.token);
- a table with a header that names its columns: `image,caption` or `image_name| comment_number| comment`.

Which one it is shows in the first line. Splits are files with one picture name per line. Where there are none and both
splits name the same table, a tenth of the pictures (at most 1,000) become validation: those whose name has the lowest
SHA-256, so the choice depends on nothing but the names. The numbers of pictures are their places in the table.
"""

import hashlib
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
from showtell.data.paths import shown
from showtell.data.settings import FlickrConfig

_VALIDATION_LIMIT = 1000


class FlickrFormat(AnnotationFormat):
    """A table, and lists of the splits' pictures where there are any."""

    def read(self, config: DataConfig, split: SplitName) -> Split:
        """Reads the table and takes a split out of it."""
        table = read_flickr(annotation_file(config, split), picture_folder(config, split))
        shared = config.train_annotations == config.val_annotations
        return select(table, split, *_lists(config), shared=shared)

    def files(self, config: DataConfig, split: SplitName) -> list[Path]:
        """The table and the lists."""
        return super().files(config, split) + [file for file in _lists(config) if file and file.is_file()]


def _lists(config: DataConfig) -> tuple[Path | None, Path | None]:
    """The files that name the training and the validation pictures."""
    assert isinstance(config, FlickrConfig)
    root = Path(config.root).expanduser()
    train, val = config.train_split, config.val_split
    return root / train if train else None, root / val if val else None


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
    for name in (name for name, said in captions.items() if not said):
        source.leave_out(f"{shown(name)} has no captions; left out")
    told = enumerate(captions.items())
    pictures = [
        Picture(number, source.picture_path(folder, name), tuple(said)) for number, (name, said) in told if said
    ]
    return Split(pictures, source.skipped, source.told)


def select(table: Split, split: str, train_split: Path | None, val_split: Path | None, *, shared: bool) -> Split:
    """The pictures of one split.

    Args:
        table: what `read_flickr` found.
        split: `train` or `val`.
        train_split: file with the training pictures' names; None means all that `val_split` does not name.
        val_split: the same for validation.
        shared: whether one table serves both splits, so that it must be divided if no file does.
    """
    names = [picture.path.name for picture in table.pictures]
    listed = {"train": _names(train_split), "val": _names(val_split)}
    if listed["train"] is None and listed["val"] is None:
        if not shared:
            return table
        listed["val"] = lowest_tenth(names)
    both = (listed["train"] or set()) & (listed["val"] or set())
    if both:
        raise AnnotationError(
            f"{shown(train_split)}: names {len(both)} picture(s) that are in {shown(val_split)} too, "
            f"such as {shown(min(both))}; no picture may be in both"
        )
    wanted, other = listed[split], listed["val" if split == "train" else "train"]
    if wanted is None:
        return Split([p for p in table.pictures if not _in(p, other or set())], table.skipped, table.told)
    chosen = [picture for picture in table.pictures if _in(picture, wanted)]
    found = {name for p in chosen for name in (p.path.name, p.path.stem)}
    absent = [
        f"{shown(name)} is in the list of the {split} split but has no captions; left out"
        for name in sorted(wanted - found)
    ]
    return Split(chosen, [*table.skipped, *absent], table.told)


def _in(picture: Picture, names: set[str]) -> bool:
    return picture.path.name in names or picture.path.stem in names


def _names(file: Path | None) -> set[str] | None:
    return (
        None if file is None else {name for line in AnnotationFile(file).text().splitlines() if (name := line.strip())}
    )


def lowest_tenth(names: list[str]) -> set[str]:
    """The tenth of the names, at least one and at most 1,000, whose SHA-256 is lowest."""
    count = max(1, min(_VALIDATION_LIMIT, len(names) // 10))
    return set(sorted(names, key=lambda name: hashlib.sha256(name.encode("utf-8", "replace")).digest())[:count])
