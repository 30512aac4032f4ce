"""The page on which one person says of each picture which of two captions is better."""

from pathlib import Path
from typing import Any

from showtell.files import atomic_write, short_hash
from showtell.gallery.frame import frame, safe_json
from showtell.rate.pairs import Draw, Pair
from showtell.rate.seal import seal

PICTURE_PIXELS = 640


def write_page(drawn: Draw, names: tuple[str, str], path: Path) -> list[str]:
    """Writes the page; returns notes on pictures that could not be read.

    Args:
        drawn: what is rated.
        names: of systems A and B; they are sealed.
        path: of the page.

    Raises:
        WriteError: the disk is full or a permission is missing.
    """
    items = [(pair, shown) for pair in drawn.pairs if (shown := _item(pair)) is not None]
    content = [f"{pair.picture.name}\0{shown['captions']}\0{pair.swapped}\n" for pair, shown in items]
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
        for place, (_, shown) in enumerate(items):
            file.write("," * bool(place) + "\n" + safe_json(shown))
        file.write("\n]}" + after)
    lost = len(drawn.pairs) - len(items)
    return [f"{lost:,} pictures could not be read: left out"] if lost else []


def _item(pair: Pair) -> dict[str, Any] | None:
    from showtell.gallery.page import PictureError, picture_data  # here: reads pictures with torch

    try:
        return {**picture_data(pair.picture, PICTURE_PIXELS), "captions": list(pair.captions)}
    except PictureError:
        return None
