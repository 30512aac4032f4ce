"""One file of captions, whatever its layout, told by its content; for whoever has a file and no data set."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from showtell.data.annotations import AnnotationFile, Split, SplitName
from showtell.data.formats.coco import coco_split
from showtell.data.formats.karpathy import karpathy_split
from showtell.data.formats.records import json_lines, json_records, record_rows
from showtell.data.formats.rows import Row, Wanted, gather
from showtell.data.formats.table import table_rows
from showtell.data.paths import shown


class CaptionsFile(NamedTuple):
    """What a file says of its pictures, and whether it says which split they are in."""

    split: Split
    is_divided: bool


def read_rows(source: AnnotationFile, wanted: Wanted = Wanted()) -> Iterator[Row] | dict[str, Any]:  # noqa: B008
    """The rows of a table or of records; of JSON with `images` its content.

    Raises:
        AnnotationError: it is none of these.
    """
    text = source.text()
    if source.path.suffix.lower() == ".jsonl":
        return record_rows(source, json_lines(source, text), wanted)
    if text.lstrip()[:1] not in ("{", "["):
        return table_rows(source, text, wanted)
    content = source.any_json(text)
    records = json_records(source, content)
    return content if records is None else record_rows(source, records, wanted)


def layout_of(file: Path) -> str:
    """What a file of rows is called: json, jsonl or table."""
    suffix = file.suffix.lower().lstrip(".")
    return suffix if suffix in ("json", "jsonl") else "table"


def is_karpathys(source: AnnotationFile, content: dict[str, Any]) -> bool:
    """Whether JSON with `images` is Karpathy's and not COCO's."""
    first = source.list_of(content, "images")[0]
    return isinstance(first, dict) and "sentences" in first


def read_captions_file(file: Path, split: SplitName | None) -> CaptionsFile:
    """The pictures of a file, or of one of the splits that it names itself; their paths start from `/`.

    Where the file names no splits, all its pictures are taken.

    Raises:
        AnnotationError: it cannot be read, or it names splits and none is wanted, or not this one.
    """
    source, root = AnnotationFile(file), Path("/")
    content = read_rows(source)
    if isinstance(content, dict):
        if not is_karpathys(source, content):
            return CaptionsFile(coco_split(source, content, root), False)
        if split is None:
            raise source.refused("holds the splits train, val and test; say which is meant: --split test")
        return CaptionsFile(karpathy_split(source, content, root, split), True)
    found = gather(source, content, root)
    layout = layout_of(file)
    named = sorted({name for name in found.splits if name})
    if not named:
        return CaptionsFile(Split(found.pictures, source.skipped, source.told, layout), False)
    if split not in named:
        raise source.refused(f"{shown(file.name)} names the split(s) {', '.join(named)}; say --split {named[-1]}")
    pairs = zip(found.pictures, found.splits, strict=True)
    pictures = [picture for picture, name in pairs if name == split]
    return CaptionsFile(Split(pictures, source.skipped, source.told, layout), True)
