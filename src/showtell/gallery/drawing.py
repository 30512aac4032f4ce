"""Pictures with their captions under them: for `predict.py --save-pictures`, the grid of a run and TensorBoard."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from showtell.gallery.lettering import Lettering

INK, GRAY, PAPER = (20, 20, 20), (120, 120, 120), (255, 255, 255)
Pixels = NDArray[np.uint8]


def caption_card(
    pixels: Pixels, caption: str, reference: str = "", width: int = 320, text_size: int | None = None
) -> Image.Image:
    """One picture with its caption below it, and a reference caption in gray below that.

    Args:
        pixels: `(H, W, 3)`.
        caption: what the model said; several lines for several captions.
        reference: what a person said; left out when empty.
        width: of the card; the picture is scaled to it.
        text_size: in pixels; by default a twentieth of the width.
    """
    picture = Image.fromarray(pixels)
    picture = picture.resize((width, max(1, round(picture.height * width / picture.width))), Image.Resampling.LANCZOS)
    size = text_size or max(11, width // 20)
    letters = Lettering(size, caption + reference)
    lines = [
        (line, color)
        for text, color in ((caption, INK), (reference, GRAY))
        for line in letters.wrapped(text, width - size)
    ]
    card = Image.new("RGB", (width, picture.height + round(size * 1.35 * len(lines)) + size), PAPER)
    card.paste(picture)
    draw = ImageDraw.Draw(card)
    for row, (line, color) in enumerate(lines):
        letters.draw(draw, (size // 2, picture.height + size // 3 + row * size * 1.35), line, color)
    return card


def attention_sheet(
    pixels: Pixels,
    words: Sequence[str],
    maps: NDArray[np.floating],
    side: int = 200,
    columns: int = 6,
    text_size: int | None = None,
) -> Image.Image:
    """The picture, then once per word with what the model did not look at darkened: the figure of Xu et al. (2015).

    Args:
        pixels: `(H, W, 3)`.
        words: T words.
        maps: `(T, rows, columns)` weights; the grid covers the whole picture.
        side: width of each copy.
        columns: copies in a row.
        text_size: of the words, in pixels; by default a tenth of the width.
    """
    plain = Image.fromarray(pixels)
    plain = plain.resize((side, max(1, round(plain.height * side / plain.width))), Image.Resampling.LANCZOS)
    copies = [captioned_copy(plain, "", text_size)]
    for word, weights in zip(words, maps, strict=True):
        light = Image.fromarray((255 * weights / max(float(weights.max()), 1e-9)).astype(np.uint8))
        share = np.asarray(light.resize(plain.size, Image.Resampling.BICUBIC), np.float32)[:, :, None] / 255
        shown = np.asarray(plain, np.float32) * (0.25 + 0.75 * share)
        copies.append(captioned_copy(Image.fromarray(shown.astype(np.uint8)), word, text_size))
    return contact_sheet(copies, columns=columns, gap=6)


def captioned_copy(picture: Image.Image, word: str, text_size: int | None = None) -> Image.Image:
    """A picture with one word above it."""
    size = text_size or max(12, picture.width // 10)
    copy = Image.new("RGB", (picture.width, picture.height + round(1.5 * size)), PAPER)
    copy.paste(picture, (0, round(1.5 * size)))
    Lettering(size, word).draw(ImageDraw.Draw(copy), (2, 2), word, INK)
    return copy


def contact_sheet(cards: Sequence[Image.Image], columns: int = 4, gap: int = 12) -> Image.Image:
    """Cards side by side; each row is as high as its highest card."""
    columns = min(columns, len(cards))
    rows = [cards[start : start + columns] for start in range(0, len(cards), columns)]
    width = max(sum(card.width + gap for card in row) for row in rows) + gap
    sheet = Image.new("RGB", (width, sum(max(c.height for c in row) + gap for row in rows) + gap), PAPER)
    top = gap
    for row in rows:
        for column, card in enumerate(row):
            sheet.paste(card, (gap + column * (card.width + gap), top))
        top += max(card.height for card in row) + gap
    return sheet


def thumbnail(pixels: Pixels, longest: int = 320) -> Pixels:
    """The picture scaled down so that its longer side is at most `longest`."""
    scale = max(pixels.shape[:2]) / longest
    if scale <= 1:
        return pixels
    height, width = (max(1, math.floor(side / scale)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
