"""Captions as rows: a picture's name and what is said of it, out of a table, records or texts beside pictures.

Which column or key holds what is found by its name, else by what the first row holds, else told by `data.image_column`
and `data.caption_column`. A picture may have many rows, and a row many captions. Rows of one picture are one picture,
however its name is spelt.
"""

import os
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from showtell.data.annotations import AnnotationFile, Picture
from showtell.data.paths import is_url, shown
from showtell.files import PICTURE_SUFFIXES

A_SUFFIX = f"(?:{'|'.join(map(re.escape, PICTURE_SUFFIXES))})"
LOOKS_LIKE_PICTURE = re.compile(rf"{A_SUFFIX}$", re.IGNORECASE)
_IMAGE_NAMES = (
    "image", "image_name", "filename", "file_name", "filepath", "file_path", "image_path", "image_file",
    "image_filename", "img", "img_name", "img_path", "path", "file", "picture", "photo", "image_id", "image_url", "url",
)  # fmt: skip
_CAPTION_NAMES = (
    "caption", "captions", "comment", "comments", "sentence", "sentences", "text", "texts", "raw", "description",
    "title", "caption_str",
)  # fmt: skip
_SPLIT_NAMES = ("split", "set_name", "set", "subset")
_NUMBERED = re.compile(rf"(?:{'|'.join(_CAPTION_NAMES)})[ _-]?\d+")
_SPLITS = {
    "train": "train", "training": "train", "restval": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip


class Row(NamedTuple):
    """A picture's name, captions as they are written, and the split that the row names, if any."""

    where: str
    name: Any
    texts: Sequence[Any]
    split: Any = None


class Columns(NamedTuple):
    """What a table's or a record's columns are called."""

    image: str
    captions: tuple[str, ...]
    split: str | None

    def told(self) -> str:
        """In words."""
        captions = ", ".join(f"`{name}`" for name in self.captions)
        return f"pictures from `{self.image}`, captions from {captions}"


class Wanted(NamedTuple):
    """The columns that the settings name; None: found."""

    image: str | None = None
    caption: str | None = None


def find_columns(first: Mapping[str, Any], wanted: Wanted = Wanted()) -> Columns | str:  # noqa: B008
    """The columns of a table by its names and first row, or in words why they cannot be told."""
    listed = ", ".join(f"`{shown(name)}`" for name in first)
    for key, given in (("image", wanted.image), ("caption", wanted.caption)):
        if given is not None and given not in first:
            return f"has no column `{shown(given)}` (data.{key}_column); its columns are {listed}"
    lower = {name.strip().lower(): name for name in reversed(list(first))}
    image = wanted.image or _known(lower, _IMAGE_NAMES) or _only(n for n, v in first.items() if names_picture(v))
    split = _known(lower, _SPLIT_NAMES)
    split = split if split is not None and str(first[split]).strip().lower() in _SPLITS else None
    numbered = [name for name in first if _NUMBERED.fullmatch(name.strip().lower())]
    known = _known(lower, _CAPTION_NAMES)
    captions = (wanted.caption,) if wanted.caption else tuple(dict.fromkeys([known, *numbered] if known else numbered))
    if image and not captions:
        rest = [n for n, v in first.items() if n not in (image, split) and isinstance(v, str) and not v.isdigit()]
        captions = tuple(rest) if len(rest) == 1 else ()
    if not image or not captions:
        lost = " and ".join(what for what, found in (("picture names", image), ("captions", captions)) if not found)
        likely = max((name for name in first if name != image), key=lambda name: len(str(first[name])), default="...")
        words = [] if image else [f"data.image_column={next(iter(first))}"]
        words += [] if captions else [f"data.caption_column={likely}"]
        return f"the columns {listed} do not tell which holds {lost}; say which, e.g. {' '.join(words)}"
    return Columns(image, tuple(name for name in captions if name != image), split)


def _known(lower: Mapping[str, str], names: Iterable[str]) -> str | None:
    return next((lower[name] for name in names if name in lower), None)


def _only(found: Iterable[str]) -> str | None:
    names = list(found)
    return names[0] if len(names) == 1 else None


def names_picture(value: Any) -> bool:
    """Whether this is a picture's file name or address, by the look of it."""
    return isinstance(value, str) and (is_url(value) or LOOKS_LIKE_PICTURE.search(value.strip()) is not None)


class PictureNames:
    """Names of pictures as people write them, found among the files of a folder.

    A name may lack its suffix, differ in upper and lower case, hold backslashes, be an address, be absolute, or name a
    folder that is not there; how many did is counted in the file's `readings`.
    """

    def __init__(self, source: AnnotationFile, folder: Path) -> None:
        self.source, self.folder = source, folder
        self._owner: dict[str, str] = {}
        self._listing = cache(_listing)

    def path(self, value: Any, where: str) -> Path:
        """The file that a name means; as it is written where there is none."""
        written = self._relative(value, where)
        name = posixpath.normpath(self.source.picture_name(written, where))
        for candidate, how in _spellings(name):
            found, also = self._find(candidate)
            if found is not None:
                for reading in (how, also):
                    if reading:
                        self.source.readings[reading] += 1
                if self._owner.setdefault(found, name) != name and how == _BARE:
                    raise self.source.refused(
                        f"{where}: {shown(name)} and {shown(self._owner[found])} are both {shown(found)} below "
                        f"{shown(self.folder)}; set data.train_images and data.val_images to the folder that has both"
                    )
                return self.folder / found
        return self.folder / name

    def _relative(self, value: Any, where: str) -> Any:
        if not isinstance(value, str):
            return value
        if is_url(value):
            self.source.readings["addresses, read as local files of the same name"] += 1
            return unquote(value.partition("?")[0].partition("#")[0]).rpartition("/")[2]
        name = value.strip().removeprefix(f"{self.folder.resolve()}".rstrip("/") + "/")
        if name.startswith("/"):
            raise self.source.refused(
                f"{where}: {shown(name)} does not lie below {shown(self.folder)}; set data.train_images and "
                "data.val_images to a folder above all pictures, e.g. /"
            )
        return name

    def _find(self, name: str) -> tuple[str | None, str]:
        parent, base = posixpath.split(name)
        exact, lower, stems = self._listing(str(self.folder / parent))
        if base in exact:
            return name, ""
        if base.lower() in lower:
            return posixpath.join(parent, lower[base.lower()]), "names in other upper and lower case than their files"
        if base.lower() in stems and not LOOKS_LIKE_PICTURE.search(base):
            return posixpath.join(parent, stems[base.lower()]), "names without the suffix of their files"
        return None, ""


_BARE = "names found without the folder that they name"


def _spellings(name: str) -> list[tuple[str, str]]:
    slashes = name.replace("\\", "/")
    spellings = [(name, ""), (slashes, "names with backslashes, read as paths with /")]
    return [*spellings[: 1 + (slashes != name)], *([(posixpath.basename(slashes), _BARE)] if "/" in slashes else [])]


def _listing(folder: str) -> tuple[set[str], dict[str, str], dict[str, str]]:
    """The names in a folder: as they are, by lower case, and pictures by lower case without suffix."""
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    stems = {name.rpartition(".")[0].lower(): name for name in names if LOOKS_LIKE_PICTURE.search(name)}
    return set(names), {name.lower(): name for name in names}, stems


class Gathered(NamedTuple):
    """The pictures of a file, with the split that each belongs to by its rows (`""`: not said)."""

    pictures: list[Picture]
    splits: list[str]


def gather(source: AnnotationFile, rows: Iterable[Row], folder: Path) -> Gathered:
    """Rows as pictures, numbered by their first row; some may have no captions.

    Raises:
        AnnotationError: a name, a caption or a split that is none.
    """
    names = PictureNames(source, folder)
    captions: dict[Path, list[str]] = {}
    splits: dict[Path, str] = {}
    for row in rows:
        path = names.path(row.name, row.where)
        said = captions.setdefault(path, [])
        split = _split(source, row)
        if splits.setdefault(path, split) != split:
            raise source.refused(f"{row.where}: {shown(path.name)} is in `{splits[path]}` and in `{split}`; keep one")
        said += [text for value in row.texts if (text := source.caption(value, row.where))]
    pictures = [Picture(number, path, tuple(said)) for number, (path, said) in enumerate(captions.items())]
    return Gathered(pictures, [splits[path] for path in captions])


def _split(source: AnnotationFile, row: Row) -> str:
    if row.split is None:
        return ""
    split = _SPLITS.get(str(row.split).strip().lower())
    if split is None:
        raise source.refused(f"{row.where}: the split is {shown(row.split)}; it must be train, val or test")
    return split
