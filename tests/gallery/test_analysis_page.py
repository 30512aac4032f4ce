"""The page of what went wrong, in a real browser."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.analysis.conftest import material_of
from tests.gallery.conftest import HOSTILE, Browser
from tests.gallery.test_browser import SCROLLING

from showtell.analysis.findings import analyse
from showtell.analysis.material import Material, Things
from showtell.analysis.page import write_page
from showtell.evaluation.things import coco_lexicon

Draw = Callable[..., Path]


@pytest.fixture
def made() -> Material:
    captions = [f"a cat on grass {HOSTILE}", *["a cat on the grass"] * 11, *["a man rides a horse in a field"] * 12]
    references = [["a dog on the grass", f"my dog {HOSTILE}"]] * 12 + [["a man rides a horse", "the horse"]] * 12
    return material_of(captions, references, things=Things(coco_lexicon(), None, "By the references."), notes=[HOSTILE])


def test_a_click_on_a_row_shows_its_examples(desktop: Browser, made: Material, tmp_path: Path) -> None:
    write_page(analyse(made), tmp_path / "p.html")
    desktop.open(tmp_path / "p.html")
    assert desktop.texts("#count") == ["24 pictures"]
    panel = "[...document.querySelectorAll('section')].find(s => s.innerText.startsWith('Invented'))"
    desktop.run(f"{panel}.querySelector('tbody button').click()")
    assert desktop.texts("#count") == ["12 pictures"] and desktop.texts("#all span") == ["Invented things: cat"]
    assert desktop.texts("#pictures .wrong") == ["not there: cat"] * 12
    desktop.set("query", "script", "input")
    assert desktop.texts("#pictures article b") == ["0.jpg", *desktop.texts("#pictures article b")[1:]]
    desktop.set("query", "", "input")
    desktop.run("document.getElementById('all').click()")
    assert desktop.texts("#count") == ["24 pictures"]


def test_hostile_text_is_shown_not_run(desktop: Browser, made: Material, tmp_path: Path) -> None:
    write_page(analyse(made), tmp_path / "p.html")
    desktop.open(tmp_path / "p.html")
    assert desktop.run("return document.title") == "What went wrong"
    assert desktop.texts("#pictures .caption")[0] == f"a cat on grass {HOSTILE}"
    assert HOSTILE in desktop.texts("#notes li")
    assert desktop.run("return performance.getEntriesByType('resource').length") == 0


def test_fits_a_phone(phone: Browser, picture: Draw, made: Material, tmp_path: Path) -> None:
    picture("a.jpg", 30, 90)
    long = "antidisestablishmentarianism" * 3
    texts = [long, *made.captions[1:]]
    shown = replace(made, captions=texts, system=long, paths=[tmp_path / "a.jpg"] * 24)
    write_page(analyse(shown), tmp_path / "p.html")
    phone.open(tmp_path / "p.html")
    assert phone.run("return document.documentElement.scrollWidth") == 400
    assert phone.run(SCROLLING) == []


def test_where_there_are_many_pictures_each_row_has_examples(made: Material, tmp_path: Path) -> None:
    from tests.analysis.test_command import data_of

    write_page(analyse(made), tmp_path / "p.html", most=6)
    content = data_of(tmp_path / "p.html")
    assert len(content["pictures"]) == 6
    assert any("6 of the 24 pictures are shown" in note for note in content["notes"])
    rows = [row for one in content["panels"] for row in one["rows"] if row["total"]]
    assert sum(bool(row["pictures"]) for row in rows) > 0.8 * len(rows)
