import numpy as np
import pytest
from PIL import Image

from showtell.gallery import fonts
from showtell.gallery.drawing import INK, attention_sheet, caption_card, contact_sheet
from showtell.gallery.fonts import font_for


@pytest.mark.parametrize("widths", [(30, 90), (90, 30)])
def test_a_sheet_is_as_wide_as_its_widest_row(widths):
    sheet = contact_sheet([Image.new("RGB", (width, 20), INK) for width in widths], columns=1, gap=5)
    assert sheet.size == (100, 55)
    dark = (np.asarray(sheet) == INK).all(axis=2).sum()
    assert dark == 20 * sum(widths)  # nothing is cut off


def test_other_letters_get_a_font_that_has_them() -> None:
    font = font_for("два m", 20)
    if font.getname() == font_for("a", 20).getname():  # type: ignore[union-attr]
        pytest.skip("no font with Cyrillic letters is installed")
    assert bytes(font.getmask("м")) != bytes(font.getmask("\uffff"))


def test_a_script_without_a_font_is_told_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(fonts, "_found", {})
    monkeypatch.setenv("PATH", "")
    for _ in range(2):
        assert caption_card(np.zeros((40, 60, 3), np.uint8), "两只狗" * 20, width=320).width == 320
    told = capsys.readouterr().err
    assert told == "note: fc-list knows no font with CJK letters; install one to see them in drawn pictures\n"


def test_every_word_has_its_copy_of_the_picture():
    pixels = np.full((40, 80, 3), 200, np.uint8)
    maps = np.ones((7, 2, 2), np.float32)
    sheet = attention_sheet(pixels, list("abcdefg"), maps, side=80)
    bright = (abs(np.asarray(sheet, int) - 200) <= 1).all(axis=2).sum()
    assert sheet.width == 6 * 80 + 7 * 6
    assert bright >= 8 * 40 * 80  # the picture and seven words
