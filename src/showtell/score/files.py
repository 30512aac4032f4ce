"""Reads references and results, and finds for each caption the picture that it belongs to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showtell.data.annotations import AnnotationFile, Picture, SplitName, clean_caption
from showtell.data.formats.captions_file import read_captions_file
from showtell.data.formats.results import NamedPictures, picture_named, result_rows, without_settings
from showtell.data.paths import counted, shown
from showtell.errors import UserError
from showtell.evaluation.metric import Pictures


@dataclass(frozen=True)
class ReferenceFile:
    """What people said about some pictures; only those that somebody described.

    Attributes:
        path: the file.
        split: that was asked for.
        layout: of the file.
        pictures: described ones.
        notes: what was left out, and how the file was read.
    """

    path: Path
    split: SplitName | None
    layout: str
    pictures: list[Picture]
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """`captions_val.json`, `test split of dataset_coco.json`."""
        return f"{self.split} split of {self.path.name}" if self.split else self.path.name

    @cached_property
    def texts(self) -> dict[int, tuple[str, ...]]:
        """The captions by picture id."""
        return {picture.id: picture.captions for picture in self.pictures}

    @cached_property
    def names(self) -> dict[int, str]:
        """The file names by picture id, as the file has them."""
        return {picture.id: picture.path.as_posix().lstrip("/") for picture in self.pictures}

    def find(self, name: int | str) -> int | None:
        """The id of the picture that a result names; None where it is none of these."""
        return self._named.find(name)

    @cached_property
    def _named(self) -> NamedPictures:
        return NamedPictures(self.names)


def read_references(file: Path, split: SplitName | None) -> ReferenceFile:
    """Reads references in every layout that the data side reads.

    Raises:
        UserError: the file cannot be used, or nobody described a picture; one line.
    """
    with without_settings():
        found, is_divided = read_captions_file(file, split)
    described = [picture for picture in found.pictures if picture.captions]
    notes = [*found.told, *_summary(found.skipped)]
    if bare := len(found.pictures) - len(described):
        notes.append(f"{shown(file.name)}: nobody described {counted(bare, 'picture')}; left out")
    if not described:
        raise UserError(f"{shown(file)}: holds no references; name the file with the captions that people wrote")
    if split and not is_divided:
        notes.append(f"{shown(file.name)}: names no splits; all its pictures are taken for the {split} split")
    return ReferenceFile(file, split, found.layout, described, notes)


def pictures_of(source: ReferenceFile, folder: Path, model: str, ids: Iterable[int]) -> Pictures:
    """The pictures of references, in a folder that the file names start from, or where all lie side by side.

    Raises:
        UserError: one is not there.
    """
    found = {}
    for picture in ids:
        name = Path(source.names[picture])
        found[picture] = next((file for file in (folder / name, folder / name.name) if file.is_file()), None)
        if found[picture] is None:
            raise UserError(f"--images {shown(folder)}: {shown(name)} is not there; give the folder of the pictures")

    def load(picture: int) -> NDArray[np.uint8]:
        from showtell.data.images import picture_pixels  # late: other scores need no torch

        return picture_pixels(str(found[picture]))

    return Pictures(load, model)


@dataclass(frozen=True)
class Results:
    """What one run says, as its file has it.

    Attributes:
        path: the file.
        captions: by what names the picture.
        notes: what must be known of the file.
    """

    path: Path
    captions: dict[int | str, str]
    notes: list[str] = field(default_factory=list)


def read_results(file: Path) -> Results:
    """Reads one caption per picture; an empty caption stays, and scores 0.

    Raises:
        UserError: the file cannot be used, or a picture has two captions; one line.
    """
    source = AnnotationFile(file)
    rows = result_rows(source, "give references by --references")
    captions: dict[int | str, str] = {}
    for row in rows:
        name = picture_named(source, row)
        if name in captions or len(row.texts) > 1:
            raise source.refused(f"{row.where}: a second caption of {shown(name)}; a run says one caption per picture")
        if not isinstance(row.texts[0], str):
            raise source.refused(f"{row.where}: the caption is {shown(row.texts[0])}, it must be text")
        captions[name] = clean_caption(row.texts[0])
    if not captions:
        raise source.refused("holds no captions; write it again")
    empty = sum(not text for text in captions.values())
    return Results(
        file, captions, [f"{shown(file.name)}: {counted(empty, 'empty caption')}, scored 0"] if empty else []
    )


def _summary(lines: Sequence[str], most: int = 3) -> Iterator[str]:
    yield from lines[:most]
    if len(lines) > most:
        yield f"... and {len(lines) - most:,} more such lines"


@dataclass(frozen=True)
class Matched:
    """Captions by picture id, and how they met the references.

    Attributes:
        captions: of pictures that somebody described.
        missing: ids of described pictures without a caption.
        surplus: what names pictures that nobody described.
    """

    captions: Mapping[int, str]
    missing: list[int]
    surplus: list[int | str]


def match(results: Results, references: ReferenceFile) -> Matched:
    """Finds the picture of each caption.

    Raises:
        UserError: two captions are of one picture.
    """
    captions: dict[int, str] = {}
    surplus: list[int | str] = []
    for name, text in results.captions.items():
        picture = references.find(name)
        if picture is None:
            surplus.append(name)
        elif picture in captions:
            raise UserError(
                f"{shown(results.path)}: two captions are of {shown(references.names[picture])}, one by {shown(name)}; "
                "a run says one caption per picture"
            )
        else:
            captions[picture] = text
    return Matched(captions, [picture for picture in references.texts if picture not in captions], surplus)
