"""Reads references and results, and finds for each caption the picture that it belongs to.

Results are COCO's (a list of `image_id` and `caption`), JSON Lines, CSV or TSV, or names (or ids) with captions. A
number means the id of a picture, which in layouts without ids is its place in the file, as `predict.py` numbers them; a
text means its file name, with or without folder and suffix.
"""

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showtell.data.annotations import AnnotationError, AnnotationFile, Picture, SplitName, clean_caption
from showtell.data.formats.captions_file import read_captions_file, read_rows
from showtell.data.formats.records import json_records
from showtell.data.formats.rows import LOOKS_LIKE_PICTURE, Row
from showtell.data.paths import counted, is_url, shown
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
        if isinstance(name, int):
            return name if name in self.texts else None
        for spelling in (name, posixpath.basename(name), posixpath.splitext(posixpath.basename(name))[0]):
            if (found := self._by_name.get(spelling.lower())) is not None:
                return found
        return int(name) if name.isdecimal() and int(name) in self.texts else None

    @cached_property
    def _by_name(self) -> dict[str, int]:
        """Names, also without folder and suffix where only one picture has that."""
        found: dict[str, int] = {}
        spellings: list[Iterable[tuple[str, int]]] = [
            ((name.lower(), key) for key, name in self.names.items()),
            ((posixpath.basename(name).lower(), key) for key, name in self.names.items()),
            ((LOOKS_LIKE_PICTURE.sub("", posixpath.basename(name)).lower(), key) for key, name in self.names.items()),
        ]
        for pairs in map(list, spellings):
            several = Counter(name for name, _ in pairs)
            found = {**{name: key for name, key in pairs if several[name] == 1}, **found}
        return found


def read_references(file: Path, split: SplitName | None) -> ReferenceFile:
    """Reads references in every layout that the data side reads.

    Raises:
        UserError: the file cannot be used, or nobody described a picture; one line.
    """
    with _remedies():
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
    with _remedies():
        rows = list(_rows(source))
    captions: dict[int | str, str] = {}
    for row in rows:
        name = _name(source, row)
        if name in captions or len(row.texts) > 1:
            raise source.refused(f"{row.where}: a second caption of {shown(name)}; a run says one caption per picture")
        if not isinstance(row.texts[0], str):
            raise source.refused(f"{row.where}: the caption is {shown(row.texts[0])}, it must be text")
        captions[name] = clean_caption(row.texts[0])
    empty = sum(not text for text in captions.values())
    return Results(
        file, captions, [f"{shown(file.name)}: {counted(empty, 'empty caption')}, scored 0"] if empty else []
    )


def _rows(source: AnnotationFile) -> Iterable[Row]:
    text = source.text()
    if source.path.suffix.lower() == ".json":
        content = source.any_json(text)
        if isinstance(content, dict) and all(isinstance(said, str) for said in content.values()):
            return [Row(shown(name), name, [said]) for name, said in content.items()]
        if isinstance(content, list) and not content:
            raise source.refused("holds no captions; write it again")
        if json_records(source, content) is None:
            raise source.refused("holds references (`images`), not results; give it by --references")
    rows = read_rows(source)
    assert not isinstance(rows, dict)
    return rows


def _name(source: AnnotationFile, row: Row) -> int | str:
    if type(row.name) is int:
        return row.name
    if type(row.name) is not str or not row.name.strip():
        raise source.refused(f"{row.where}: the picture is {shown(row.name)}, it must be an id or a file name")
    name = row.name.strip().replace("\\", "/")
    return posixpath.basename(name.partition("?")[0]) if is_url(name) else posixpath.normpath(name).lstrip("/")


class _remedies:
    """A block whose errors about columns name a remedy that a file of its own has."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, AnnotationError):
            what, setting, _ = str(error).partition("; say which, e.g. data.")
            raise AnnotationError(f"{what}; call them `image` and `caption`" if setting else what) from None


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
