"""Captions that a model wrote, as files have them: whose caption each is, and the picture that it belongs to.

Such a file is COCO's results (a list of `image_id` and `caption`), JSON Lines, CSV or TSV, or names (or ids) with
captions. A number means the id of a picture, which in layouts without ids is its place in the file, as `predict.py`
numbers them; a text means its file name, with or without folder and suffix.
"""

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from showtell.data.annotations import AnnotationError, AnnotationFile
from showtell.data.formats.records import json_lines, json_records, record_rows
from showtell.data.formats.rows import LOOKS_LIKE_PICTURE, Row, Wanted
from showtell.data.formats.table import table_rows
from showtell.data.paths import is_url, shown


class NamedPictures:
    """Pictures by id with their file names, and what a result may call them."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self.names = names

    def find(self, name: int | str) -> int | None:
        """The id of the picture that a result names; None where it is none of these."""
        if isinstance(name, int):
            return name if name in self.names else None
        for spelling in (name, posixpath.basename(name), posixpath.splitext(posixpath.basename(name))[0]):
            if (found := self._by_name.get(spelling.lower())) is not None:
                return found
        return int(name) if name.isdecimal() and int(name) in self.names else None

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


@contextmanager
def without_settings() -> Iterator[None]:
    """A block whose errors about columns name a remedy that a file without settings has."""
    try:
        yield
    except AnnotationError as error:
        what, setting, _ = str(error).partition("; say which, e.g. data.")
        raise AnnotationError(f"{what}; call them `image` and `caption`" if setting else what) from None


def result_rows(source: AnnotationFile, remedy: str, *, n_best: bool = False) -> list[Row]:
    """The captions of a file, not yet checked.

    Args:
        source: the file.
        remedy: for one that is an annotation file.
        n_best: take all `captions` of a picture, where they stand beside its best `caption`.

    Raises:
        AnnotationError: it holds no captions.
    """
    with without_settings():
        return list(_rows(source, remedy, n_best))


def _rows(source: AnnotationFile, remedy: str, n_best: bool) -> Iterable[Row]:
    text, suffix = source.text(), source.path.suffix.lower()
    if suffix not in (".json", ".jsonl") and text.lstrip()[:1] not in ("{", "["):
        return table_rows(source, text, Wanted())
    content = None if suffix == ".jsonl" else source.any_json(text)
    if content == []:
        raise source.refused("holds no captions; write it again")
    if isinstance(content, dict) and _is_names_with_captions(content):
        return [Row(shown(name), name, [said] if isinstance(said, str) else said) for name, said in content.items()]
    records = json_lines(source, text) if suffix == ".jsonl" else json_records(source, content)
    if records is None:
        raise source.refused(f"holds `images`, as annotation files do; {remedy}")
    return record_rows(source, _n_best(records) if n_best else records, Wanted())


def _is_names_with_captions(content: dict[str, Any]) -> bool:
    texts = all(isinstance(said, str | list) and said != [] for said in content.values())
    return texts and not {"images", "data"} & content.keys()


def _n_best(records: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The records with `captions` instead of `caption`, where any of them has both."""
    if not any(isinstance(entry, dict) and {"caption", "captions"} <= entry.keys() for _, entry in records):
        return records
    return [(where, _whole(entry) if isinstance(entry, dict) else entry) for where, entry in records]


def _whole(entry: dict[str, Any]) -> dict[str, Any]:
    others = {key: value for key, value in entry.items() if key != "caption"}
    return {"captions": entry["caption"], **others} if "caption" in entry else others


def picture_named(source: AnnotationFile, row: Row) -> int | str:
    """What a row calls its picture: an id, or a relative path.

    Raises:
        AnnotationError: neither.
    """
    if type(row.name) is int:
        return row.name
    if type(row.name) is not str or not row.name.strip():
        raise source.refused(f"{row.where}: the picture is {shown(row.name)}, it must be an id or a file name")
    name = row.name.strip().replace("\\", "/")
    return posixpath.basename(name.partition("?")[0]) if is_url(name) else posixpath.normpath(name).lstrip("/")
