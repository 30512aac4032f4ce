"""The page as one file that needs nothing else: template, style, script, data and pictures, and no outside address.

Captions and file names are anybody's text. They travel as JSON in which no `<` is left, so none can close its script
element; the page's script puts them in place as text, never as markup; and the page's policy lets only this very
script run and forbids every connection.
"""

import base64
import hashlib
import html
import json
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from showtell.data.images import picture_pixels
from showtell.files import atomic_write
from showtell.gallery.contents import Page, entry_json
from showtell.gallery.drawing import Pixels, thumbnail

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


def picture_data(path: Path) -> dict[str, Any]:
    """`thumbnail_data` of a picture file."""
    return thumbnail_data(picture_pixels(path))


def thumbnail_data(pixels: Pixels) -> dict[str, Any]:
    """A small JPEG as a `data:` address, with its size."""
    small = thumbnail(pixels, THUMBNAIL_PIXELS)
    file = BytesIO()
    Image.fromarray(small).save(file, format="JPEG", quality=JPEG_QUALITY, optimize=True, progressive=True)
    source = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"src": source, "width": small.shape[1], "height": small.shape[0]}


def frame(name: str, title: str) -> tuple[str, str]:
    """A page before and after its data: `frame.html` and `frame.js`, which all have, with `NAME.html` and `NAME.js`.

    Its style is `page.css`, and `NAME.css` on top of it.
    """
    folder = files("showtell.gallery")
    layers = dict.fromkeys(["page.css", f"{name}.css"]), ["frame.js", f"{name}.js"]
    style, script = ("".join(folder.joinpath(file).read_text(encoding="utf-8") for file in group) for group in layers)
    template, body = (folder.joinpath(f"{one}.html").read_text(encoding="utf-8") for one in ("frame", name))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    for place, text in (
        ("BODY", body),
        ("POLICY", digest),
        ("STYLE", style),
        ("SCRIPT", script),
        ("TITLE", html.escape(title)),
    ):
        template = template.replace(f"{{{{{place}}}}}", text)
    before, _, after = template.partition("{{DATA}}")
    return before, after


def safe_json(value: object) -> str:
    """JSON in ASCII that cannot end the script element it stands in."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
