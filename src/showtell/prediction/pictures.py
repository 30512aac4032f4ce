"""Which pictures `predict.py` captions: those that the command line names, or those of an annotation file."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from showtell.config import ConfigError, DataConfig
from showtell.data.annotations import Picture
from showtell.data.formats import read_split
from showtell.data.paths import find_pictures, shown, why_unreadable


@dataclass(frozen=True)
class PictureList:
    """Pictures to caption.

    Attributes:
        pictures: in order; without captions where nobody described them.
        problems: a line per picture or argument that cannot be used.
        notes: a line per thing that reading the annotations left out.
    """

    pictures: list[Picture]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plain_pictures(words: Sequence[str]) -> PictureList:
    """The pictures that files, folders and patterns mean.

    Names that end in digits, as COCO's do, give the ids; else the pictures are numbered from 1.
    """
    paths, problems = find_pictures(list(words))
    found = [coco_id(path) for path in paths]
    ids = [number for number in found if number is not None]
    if len(set(ids)) < len(paths):
        ids = list(range(1, len(paths) + 1))
    return PictureList([Picture(number, path, ()) for number, path in zip(ids, paths, strict=True)], problems)


def annotated_pictures(annotations: Path, images: Path) -> PictureList:
    """The pictures of a captions file in COCO's format, with its ids and their references.

    Whether each picture is there shows when it is read.

    Raises:
        UserError: the file or the folder cannot be used; one line.
    """
    reason = why_unreadable(annotations)
    if reason:
        raise ConfigError(f"--annotations {shown(annotations)}: {reason}")
    if not images.is_dir():
        raise ConfigError(f"--images {shown(images)}: no such folder; give the one that the file names start from")
    config = DataConfig(
        name=annotations.stem,
        format="coco",
        root=".",
        val_annotations=str(annotations.resolve()),
        val_images=str(images.resolve()),
    )
    split = read_split(config, "val", check_files=False)
    return PictureList(split.pictures, notes=split.skipped)


def coco_id(path: Path) -> int | None:
    """397133 for `COCO_val2014_000000397133.jpg` and `000000397133.jpg`."""
    digits = path.stem.rpartition("_")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else None
