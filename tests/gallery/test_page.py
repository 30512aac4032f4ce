"""The file: complete in itself, safe, and of bearable size."""

import base64
import json
import random
import re
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.gallery.conftest import HOSTILE, entry, page_of

from showtell.data.images import PictureError
from showtell.gallery.contents import Caption, Entry, Prediction, Word, entry_json
from showtell.gallery.page import picture_data, write_gallery

Draw = Callable[..., Path]


class Elements(HTMLParser):
    """What a browser makes of the page: its elements, and the text of the script elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "script":
            self.scripts[-1] += data

    @property
    def data(self) -> Any:
        return json.loads(self.scripts[0])


def test_asks_for_nothing_outside(picture: Draw, tmp_path: Path) -> None:
    write_gallery(page_of([entry(picture("a.jpg"), ["a cat"], [0.5])]), tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text()
    assert "://" not in text
    assert not [attrs for _, attrs in Elements(text).found if {"src", "href"} & attrs.keys()]
    assert "default-src 'none'" in text


def test_hostile_text_stays_text(picture: Draw, tmp_path: Path) -> None:
    shown = entry(picture("a'\"><b>.jpg"), [HOSTILE], [0.5], (HOSTILE, "{{DATA}}"))
    write_gallery(page_of([shown], title=HOSTILE, notes=[HOSTILE]), tmp_path / "p.html")
    page = Elements((tmp_path / "p.html").read_text())
    assert [tag for tag, _ in page.found].count("script") == 2
    assert not [tag for tag, _ in page.found if tag in ("img", "b")]
    (found,) = page.data["pictures"]
    assert found["references"] == [HOSTILE, "{{DATA}}"]
    assert found["name"] == "a'\"><b>.jpg"
    assert page.data["notes"] == [HOSTILE]


def test_pictures_are_small_and_keep_their_shape(tmp_path: Path) -> None:
    noise = Image.frombytes("RGB", (1000, 500), random.Random(0).randbytes(1_500_000)).resize((2000, 1000))
    noise.save(tmp_path / "big.png")
    data = picture_data(tmp_path / "big.png")
    assert (data["width"], data["height"]) == (320, 160)
    with Image.open(BytesIO(base64.b64decode(data["src"].partition(",")[2]))) as image:
        assert (image.size, image.format) == ((320, 160), "JPEG")


def test_a_vanished_picture_keeps_the_old_page(picture: Draw, tmp_path: Path) -> None:
    (tmp_path / "p.html").write_text("old")
    with pytest.raises(PictureError, match="gone"):
        write_gallery(page_of([entry(tmp_path / "gone.jpg", ["a"], [0.0])]), tmp_path / "p.html")
    assert (tmp_path / "p.html").read_text() == "old"


def test_maps_travel_as_bytes_relative_to_their_peak() -> None:
    words = [Word("a", 0.25), Word("cat", 1.0, [0.0, 0.1, 0.2, 0.4, 0.0, 0.0]), Word("x", 1.0, [0.0] * 6)]
    shown = Entry(Path("a.jpg"), [], [Prediction([Caption(words, grid=(2, 3))])])
    (found,) = entry_json(shown, {})["told"][0]["captions"]
    assert "map" not in found["words"][0]
    assert list(base64.b64decode(found["words"][1]["map"])) == [0, 64, 128, 255, 0, 0]
    assert list(base64.b64decode(found["words"][2]["map"])) == [0] * 6
    assert found["grid"] == [2, 3]


def test_the_page_names_no_machine_or_time(picture: Draw, tmp_path: Path) -> None:
    page = page_of([entry(picture("a.jpg"), ["a cat"], [0.5])])
    write_gallery(page, tmp_path / "p.html")
    first = (tmp_path / "p.html").read_bytes()
    write_gallery(page, tmp_path / "p.html")
    assert (tmp_path / "p.html").read_bytes() == first
    assert not re.search(rb"%s" % re.escape(str(tmp_path).encode()), first)
