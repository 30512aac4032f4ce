"""The page on which one person says of each picture which of two captions is better."""

from pathlib import Path
from typing import Any

from showtell.data.paths import shown
from showtell.errors import UserError
from showtell.files import atomic_write, short_hash
from showtell.gallery.frame import frame, safe_json
from showtell.rate.pairs import Draw, Pair
from showtell.rate.seal import seal

PICTURE_PIXELS = 640


def write_page(drawn: Draw, names: tuple[str, str], path: Path) -> int:
    """Writes the page; returns how many pictures it asks about, which are those that could be read.

    Args:
        drawn: what is rated.
        names: of systems A and B; they are sealed.
        path: of the page.

    Raises:
        WriteError: the disk is full or a permission is missing.
        UserError: no picture can be read.
    """
    items = [(pair, item) for pair in drawn.pairs if (item := _item(pair)) is not None]
    if not items:
        raise UserError(f"{shown(drawn.pairs[0].picture)}: cannot be read, nor can any other; give other pictures")
    content = [f"{pair.picture.name}\0{item['captions']}\0{pair.swapped}\n" for pair, item in items]
    page = short_hash([*names, "\n", *content])
    hidden = {
        "systems": names,
        "swapped": [pair.swapped for pair, _ in items],
        "pictures": [pair.picture.name for pair, _ in items],
        "identical": drawn.identical,
    }
    head = {"page": page, "seal": seal(hidden, page), "identical": drawn.identical}
    before, after = frame("rate", "Which caption is better?")
    with atomic_write(path, "w") as file:
        file.write(before + f'{safe_json(head)[:-1]},"items":[')
        for place, (_, item) in enumerate(items):
            file.write("," * bool(place) + "\n" + safe_json(item))
        file.write("\n]}" + after)
    return len(items)


def _item(pair: Pair) -> dict[str, Any] | None:
    from showtell.gallery.page import PictureError, picture_data  # here: reads pictures with torch

    try:
        return {**picture_data(pair.picture, PICTURE_PIXELS), "captions": list(pair.captions)}
    except PictureError:
        return None
