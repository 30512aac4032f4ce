"""Tables of picture names and captions as text: CSV, TSV and what goes round under other names.

- the original token file of Flickr, `name.jpg#0<TAB>caption`, without a header;
- a table with a header, its columns separated by commas, semicolons, tabs or bars;
- a table without one, whose first row holds a picture's name: the rest of a row is its caption, or its captions where
  tabs or bars separate them. So are the TSV of CC3M (caption, address) and lists with several captions per line.

Faults that would lose rows or words in silence are refused or repaired: a caption with commas that lacks its quotes is
joined again where it is the last column, and an opening quote without its end, which swallows the rows that follow, is
named by its line.
"""

import csv
import re
from collections.abc import Iterator
from typing import NamedTuple

from showtell.data.annotations import AnnotationFile
from showtell.data.formats.rows import Columns, Row, Wanted, find_columns, names_picture
from showtell.data.paths import counted, shown
from showtell.files import parsed_json

_TOKEN_LINE = re.compile(r"([^\t]+)#\d+\t(.*)")
# Flickr30k's table has one row, `2199200615.jpg| 4   A dog runs ...`, that lacks its second bar
_BAR_ROW = re.compile(r"([^|]*)\|\s*\d+\s*\|?(.*)")
_BAR_HEADER = ["image_name", "comment_number", "comment"]
_DELIMITERS = "|\t,;"
_JOINED = "captions with commas but no quotes, joined again"


class Line(NamedTuple):
    """The cells of a row and the number of the line that it begins in."""

    number: int
    cells: list[str]


def table_rows(source: AnnotationFile, text: str, wanted: Wanted = Wanted()) -> Iterator[Row]:  # noqa: B008
    """The rows of a table, whatever its form.

    Raises:
        AnnotationError: a table that cannot be told, or a row that is none; the line is named.
    """
    first = text.lstrip().split("\n", 1)[0].rstrip("\r")
    if _TOKEN_LINE.match(first):
        return _pattern_rows(_TOKEN_LINE, text, source, 1)
    delimiter = _delimiter(first, wanted)
    header = [cell.strip() for cell in _cells(first, delimiter)]
    if [name.lower() for name in header] == _BAR_HEADER and delimiter == "|":
        return _pattern_rows(_BAR_ROW, text, source, 2)
    lines = _lines(source, text, delimiter)
    if any(map(names_picture, header)):
        return _headless_rows(source, lines, header, delimiter)
    if len(header) < 2:
        raise source.refused(
            f"line 1 is {shown(first)}; it must be `name.jpg#0<TAB>caption` or a header with `image` and `caption`"
        )
    return _headed_rows(source, lines, header, delimiter, wanted)


def is_table(text: str) -> bool:
    """Whether the first line of a text makes it a table of pictures and captions."""
    first = text.lstrip().split("\n", 1)[0].rstrip("\r")
    if _TOKEN_LINE.match(first):
        return True
    cells = [cell.strip() for cell in _cells(first, _delimiter(first, Wanted()))]
    known = isinstance(find_columns(dict.fromkeys(cells, "")), Columns)
    return len(cells) > 1 and (known or any(map(names_picture, cells)))


def _delimiter(first: str, wanted: Wanted) -> str:
    """What parts the columns: that which gives known names, else that which parts a picture's name off."""
    parted = {mark: [cell.strip() for cell in _cells(first, mark)] for mark in _DELIMITERS if mark in first}
    for mark, cells in parted.items():
        if isinstance(find_columns(dict.fromkeys(cells, ""), wanted), Columns):
            return mark
    named = (mark for mark, cells in parted.items() if any(map(names_picture, cells)))
    return next(named, next(iter(parted), ","))


def _cells(line: str, delimiter: str) -> list[str]:
    """The cells of one line; tabs and bars separate them also within quotes, as their tables are rarely quoted."""
    if delimiter in ",;":
        try:
            return next(csv.reader([line], delimiter=delimiter), [""])
        except csv.Error:  # told of when the rows are read
            return line.split(delimiter)
    cells = line.split(delimiter)
    return [c[1:-1].replace('""', '"') if len(c) > 1 and c[0] == c[-1] == '"' else c for c in cells]


def _lines(source: AnnotationFile, text: str, delimiter: str) -> Iterator[Line]:
    lines = re.split(r"\r\n|\n|\r", text)
    if delimiter not in ",;":
        yield from (Line(number, _cells(line, delimiter)) for number, line in enumerate(lines, 1) if line.strip())
        return
    rows, begins = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter), 1
    try:
        for cells in rows:
            if rows.line_num > begins:
                _refuse_swallowed(source, lines, begins, rows.line_num, delimiter)
            if any(cell.strip() for cell in cells):
                yield Line(begins, cells)
            begins = rows.line_num + 1
    except csv.Error as error:
        raise source.refused(f"line {rows.line_num}: {error}; correct the line") from None


def _refuse_swallowed(source: AnnotationFile, lines: list[str], begins: int, ends: int, delimiter: str) -> None:
    """A quoted caption may be of several lines, but not of lines that are rows themselves."""
    rows = [n for n in range(begins + 1, ends + 1) if any(map(names_picture, lines[n - 1].split(delimiter)))]
    if rows:
        raise source.refused(
            f"line {begins}: a quote opens here and does not close before line {ends}, which swallows "
            f"{counted(len(rows), 'row')}; close it, remove it, or double it where it belongs to the caption"
        )


def _pattern_rows(pattern: re.Pattern[str], text: str, source: AnnotationFile, first_line: int) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if number < first_line or not line.strip():
            continue
        found = pattern.match(line)
        if not found:
            raise source.refused(f"line {number} has no picture name and caption; correct or remove it")
        yield Row(f"line {number}", found[1].strip(), [found[2]])


def _headless_rows(source: AnnotationFile, lines: Iterator[Line], first: list[str], delimiter: str) -> Iterator[Row]:
    place = next(number for number, cell in enumerate(first) if names_picture(cell))
    source.readings[f"no header; pictures from column {place + 1}"] = 0
    for number, cells in lines:
        if place >= len(cells) or len(cells) < 2:
            raise source.refused(f"line {number} has {counted(len(cells), 'column')}; correct or remove it")
        texts = _without_blank_end(cells[:place] + cells[place + 1 :])
        if any(names_picture(text) and not re.search(r"\s", text.strip()) for text in texts):
            raise source.refused(f"line {number} names two pictures; a line's end is missing, correct it")
        if delimiter in ",;" and len(texts) > 1:
            source.readings[_JOINED] += 1
            texts = [delimiter.join(texts)]
        yield Row(f"line {number}", cells[place], texts or [""])


def _headed_rows(
    source: AnnotationFile, lines: Iterator[Line], header: list[str], delimiter: str, wanted: Wanted
) -> Iterator[Row]:
    line = next(lines, None) and next(lines, None)
    if line is None:
        raise source.refused("holds a header and no rows; write or fetch it again")
    columns = find_columns({**dict.fromkeys(header, ""), **dict(zip(header, line.cells, strict=False))}, wanted)
    if isinstance(columns, str):
        raise source.refused(f"line 1: {columns}")
    unread = [name for name in header if name and name not in (columns.image, *columns.captions, columns.split)]
    rest = f"; not read: {', '.join(f'`{shown(name)}`' for name in unread)}" if unread else ""
    source.readings[columns.told() + rest] = 0
    image, split = header.index(columns.image), None if columns.split is None else header.index(columns.split)
    captions = [header.index(name) for name in columns.captions]
    while line is not None:
        cells = _fitted(source, line, header, captions, delimiter)
        if len(cells) < len(header):
            source.readings["rows with fewer columns than the header"] += 1
        if len(cells) <= max(image, split or 0, min(captions)):
            raise source.refused(f"line {line.number} has {counted(len(cells), 'column')}; correct or remove it")
        texts = [text for place in captions if place < len(cells) for text in _captions_of(cells[place])]
        told = [text for text in texts if text.strip()] if len(captions) > 1 else texts
        yield Row(f"line {line.number}", cells[image], told or [""], None if split is None else cells[split])
        line = next(lines, None)


def _fitted(source: AnnotationFile, line: Line, header: list[str], captions: list[int], delimiter: str) -> list[str]:
    """The cells of a row that has more than the header: blank ones go, and what follows a last caption is its rest."""
    width = len(header)
    if len(line.cells) <= width or not any(cell.strip() for cell in line.cells[width:]):
        return line.cells[:width]
    if captions != [width - 1]:
        raise source.refused(
            f"line {line.number} has {len(line.cells)} columns, the header {width}; put quotes around the caption"
        )
    source.readings[_JOINED] += 1
    return [*line.cells[: width - 1], delimiter.join(line.cells[width - 1 :])]


def _without_blank_end(cells: list[str]) -> list[str]:
    while cells and not cells[-1].strip():
        cells = cells[:-1]
    return cells


def _captions_of(cell: str) -> list[str]:
    """A cell's captions: several where it is a JSON list of texts, as in tables that were made of records."""
    if cell.lstrip().startswith('["'):
        try:
            found = parsed_json(cell)
        except ValueError:
            return [cell]
        if found and all(isinstance(text, str) for text in found):
            return list(found)
    return [cell]
