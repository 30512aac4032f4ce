"""The page of captioned pictures, as one file with its pictures in it."""

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from showtell.data.images import PictureError as PictureError
from showtell.data.images import picture_pixels
from showtell.files import atomic_write
from showtell.gallery.contents import Page, entry_json
from showtell.gallery.drawing import Pixels, thumbnail
from showtell.gallery.frame import frame, safe_json

THUMBNAIL_PIXELS = 320
JPEG_QUALITY = 72


def write_gallery(page: Page, path: Path) -> None:
    """Writes the page.

    Raises:
        WriteError: the disk is full or a permission is missing; an old page is kept.
        PictureError: a picture vanished since it was captioned.
    """
    before, after = frame("page", page.title)
    head = {"systems": page.systems, "figures": page.figures, "subject": page.subject, "notes": page.notes}
    with atomic_write(path, "w") as file:
        file.write(before)
        # the pictures one by one: together they are the page
        file.write(f'{safe_json(head)[:-1]},"pictures":[')
        for place, entry in enumerate(page.entries):
            file.write("," * bool(place) + "\n" + safe_json(entry_json(entry, picture_data(entry.path))))
        file.write("\n]}" + after)


def picture_data(path: Path, longest: int = THUMBNAIL_PIXELS) -> dict[str, Any]:
    """`thumbnail_data` of a picture file."""
    return thumbnail_data(picture_pixels(path), longest)


def thumbnail_data(pixels: Pixels, longest: int = THUMBNAIL_PIXELS) -> dict[str, Any]:
    """A small JPEG as a `data:` address, with its size."""
    small = thumbnail(pixels, longest)
    file = BytesIO()
    Image.fromarray(small).save(file, format="JPEG", quality=JPEG_QUALITY, optimize=True, progressive=True)
    source = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"src": source, "width": small.shape[1], "height": small.shape[0]}
