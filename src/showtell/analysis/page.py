"""The page of an analysis: tables of findings, and example pictures that a click on a row of them chooses."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from showtell.analysis.findings import Findings
from showtell.analysis.panels import Panel, panels
from showtell.files import atomic_write
from showtell.gallery.frame import frame, safe_json

MOST_PICTURES = 300
MOST_REFERENCES = 10
NEAR_PIXELS = 160


def write_page(found: Findings, path: Path, most: int = MOST_PICTURES) -> list[str]:
    """Writes the page; returns notes on pictures that it could not show.

    Args:
        found: the findings.
        path: of the page.
        most: pictures on the page.

    Raises:
        WriteError: the disk is full or a permission is missing; an old page is kept.
    """
    material, tables = found.material, list(panels(found))
    places = chosen(tables, len(material.captions), most)
    number = {place: shown for shown, place in enumerate(places)}
    head = {
        "system": material.system,
        "subject": material.subject,
        "signature": material.signature,
        "figures": _figures(found),
        "notes": [*_about(found, len(places)), *material.notes],
        "panels": [_panel(one, number) for one in tables],
    }
    missing = 0
    before, after = frame("analysis", "What went wrong")
    with atomic_write(path, "w") as file:
        file.write(before + f'{safe_json(head)[:-1]},"pictures":[')
        for shown, place in enumerate(places):
            picture = _picture(found, place)
            missing += bool(material.paths) and "src" not in picture
            file.write("," * bool(shown) + "\n" + safe_json(picture))
        file.write("\n]}" + after)
    return [f"{path.name}: {missing:,} of its {len(places):,} pictures could not be read"] if missing else []


def chosen(tables: Sequence[Panel], pictures: int, most: int) -> list[int]:
    """Which pictures are shown: the first example of every row, then the second of every row, and so on."""
    if pictures <= most:
        return list(range(pictures))
    examples = [row.pictures[:most].tolist() for table in tables for row in table.rows]
    found: dict[int, None] = {}
    for turn in zip_longest(*examples):
        found |= dict.fromkeys(place for place in turn if place is not None)
        if len(found) >= most:
            break
    return list(found)[:most]


def _about(found: Findings, shown: int) -> list[str]:
    pictures = len(found.material.captions)
    notes = []
    if shown < pictures:
        notes.append(
            f"{shown:,} of the {pictures:,} pictures are shown, examples of every row. The figures are about all."
        )
    notes.append("CIDEr's document frequencies are those of the whole reference set in every bin.")
    return notes


def _figures(found: Findings) -> list[list[str]]:
    rows = []
    if found.inventions:
        rows += [["CHAIR-i", str(found.inventions.i)], ["CHAIR-s", str(found.inventions.s)]]
    if found.memory:
        rows.append(["Captions of the nearest training picture", f"{100 * found.memory[0].share:.1f} %"])
    return rows


def _panel(table: Panel, number: Mapping[int, int]) -> dict[str, Any]:
    rows = [
        {
            "cells": list(row.cells),
            "total": len(row.pictures),
            "pictures": [number[place] for place in row.pictures.tolist() if place in number],
            **({"interval": [row.interval.value, row.interval.low, row.interval.high]} if row.interval else {}),
        }
        for row in table.rows
    ]
    return {"title": table.title, "hint": table.hint, "columns": table.columns, "rows": rows, "more": table.more}


def _picture(found: Findings, place: int) -> dict[str, Any]:
    material = found.material
    content: dict[str, Any] = {
        "name": material.names[place],
        "caption": material.captions[place],
        "references": list(material.references[place][:MOST_REFERENCES]),
        "cider": round(float(material.cider[place]), 3),
        **(_thumbnail(material.paths[place]) if material.paths else {}),
    }
    if found.inventions:
        content["invented"] = sorted({one.thing for one in found.inventions.captions.invented[place]})
    if near := material.neighbours:
        content["near"] = {
            "name": near.names[place],
            "cosine": round(float(near.similarity[place]), 3),
            "captions": list(near.captions[place][:MOST_REFERENCES]),
            **(_thumbnail(near.paths[place], NEAR_PIXELS) if near.paths else {}),
        }
    return content


def _thumbnail(path: Path, longest: int | None = None) -> dict[str, Any]:
    """Nothing of a picture that cannot be read."""
    from showtell.gallery.page import THUMBNAIL_PIXELS, PictureError, picture_data  # here: reads pictures with torch

    try:
        return picture_data(path, longest or THUMBNAIL_PIXELS)
    except PictureError:
        return {}
