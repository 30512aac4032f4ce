import numpy as np
import pytest
from PIL import Image

from showtell.gallery import lettering
from showtell.gallery.drawing import INK, attention_sheet, caption_card, contact_sheet
from showtell.gallery.lettering import Lettering


@pytest.mark.parametrize("widths", [(30, 90), (90, 30)])
def test_a_sheet_is_as_wide_as_its_widest_row(widths):
    sheet = contact_sheet([Image.new("RGB", (width, 20), INK) for width in widths], columns=1, gap=5)
    assert sheet.size == (100, 55)
    dark = (np.asarray(sheet) == INK).all(axis=2).sum()
    assert dark == 20 * sum(widths)  # nothing is cut off


def test_every_word_has_its_copy_of_the_picture():
    pixels = np.full((40, 80, 3), 200, np.uint8)
    maps = np.ones((7, 2, 2), np.float32)
    sheet = attention_sheet(pixels, list("abcdefg"), maps, side=80)
    bright = (abs(np.asarray(sheet, int) - 200) <= 1).all(axis=2).sum()
    assert sheet.width == 6 * 80 + 7 * 6
    assert bright >= 8 * 40 * 80  # the picture and seven words


def ink(text: str) -> bytes:
    """What a card shows of a caption."""
    return caption_card(np.full((20, 320, 3), 255, np.uint8), text).tobytes()


@pytest.mark.parametrize("letters", ["éè", "ệộ", "дж", "नम", "مر"])
def test_letters_of_other_scripts_are_drawn_where_a_font_has_them(letters):
    """Boxes would be alike."""
    if not lettering.fonts_for(frozenset(letters)):
        pytest.skip("no installed font has these letters")
    assert ink(letters[0]) != ink(letters[1])


def test_letters_that_no_font_has_are_said_once(monkeypatch, capsys):
    monkeypatch.setattr(lettering, "_installed", lambda: [])
    lettering.fonts_for.cache_clear()
    assert ink("Ж") == ink("Д")
    ink("Ж!")
    assert [line for line in capsys.readouterr().err.splitlines() if "Ж" in line] == [
        "note: no installed font has 'Ж', drawn as boxes on pictures; install one such as Noto Sans"
    ]
    lettering.fonts_for.cache_clear()


@pytest.mark.parametrize("text", ["a dog on the grass by the lake", "averyveryverylongwordwithoutanyblank", "a" * 90])
def test_lines_are_as_wide_as_they_may_be(text):
    letters = Lettering(16)
    lines = letters.wrapped(text, 100)
    assert all(letters.width(line) <= 100 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert len(lines) < 2 + letters.width(text) / 70


def test_every_caption_has_its_own_lines():
    assert Lettering(16).wrapped("1. a dog\n2. a cat", 300) == ["1. a dog", "2. a cat"]
