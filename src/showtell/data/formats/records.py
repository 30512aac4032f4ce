"""Captions as JSON records: JSON Lines, a list of objects, names with captions, and TextCaps' `data`.

{"file_name": "dog.jpg", "text": "a dog"}                       one object per line (metadata.jsonl, train.jsonl)
[{"image": "dog.jpg", "caption": ["a dog", "a black dog"]}]     a list, with one caption or several
{"dog.jpg": ["a dog", "a black dog"]}                           a name with its captions
{"data": [{"image_id": "1f", "caption_str": "a dog"}]}          TextCaps
"""

from collections.abc import Iterator
from typing import Any

from showtell.data.annotations import AnnotationFile
from showtell.data.formats.rows import LOOKS_LIKE_PICTURE, Row, Wanted, find_columns
from showtell.data.paths import shown


def json_lines(source: AnnotationFile, text: str) -> list[tuple[str, Any]]:
    """The objects of a JSON Lines file, and the line of each."""
    lines = enumerate(text.split("\n"), 1)
    return [(f"line {number}", source.any_json(line, number)) for number, line in lines if line.strip()]


def json_records(source: AnnotationFile, content: Any) -> list[tuple[str, Any]] | None:
    """The records of a JSON file, each with its place; None where it is of another kind.

    Raises:
        AnnotationError: it is none that is known.
    """
    if isinstance(content, dict) and "images" in content:
        return None
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        return [(f"data[{number}]", entry) for number, entry in enumerate(content["data"])]
    if isinstance(content, dict) and any(LOOKS_LIKE_PICTURE.search(name) for name in content):
        named = ({"image": name, "captions": said} for name, said in content.items())
        return [(shown(entry["image"]), entry) for entry in named]
    if isinstance(content, list):
        return [(f"[{number}]", entry) for number, entry in enumerate(content)]
    raise source.refused(
        "holds neither `images`, nor a list of records, nor picture names with captions; see docs/data.md"
    )


def record_rows(source: AnnotationFile, records: list[tuple[str, Any]], wanted: Wanted) -> Iterator[Row]:
    """The rows of records.

    Raises:
        AnnotationError: a record without picture or caption.
    """
    if not records:
        raise source.refused("holds no records; write or fetch it again")
    where, first = records[0]
    if not isinstance(first, dict) or not first:
        raise source.refused(f"{where} is {shown(first)}, it must be an object with a picture and a caption")
    columns = find_columns(first, wanted)
    if isinstance(columns, str):
        raise source.refused(f"{where}: {columns}")
    source.readings[columns.told()] = 0
    for where, record in records:
        values = [source.member(record, name, where) for name in columns.captions]
        texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
        texts = [text.get("raw") if isinstance(text, dict) else text for text in texts]
        split = record.get(columns.split) if columns.split else None
        yield Row(where, source.member(record, columns.image, where), texts or [""], split)
