import numpy as np
import pytest
from PIL import Image

from showtell.gallery.drawing import INK, attention_sheet, contact_sheet


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
