"""Damaged JPEG, PNG and WEBP: each is read or refused in one line; benchmarks/mutations.py measures time and memory."""

import random
from functools import cache

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.mutated_pictures import mutated_picture, originals

from showtell.data import images
from showtell.data.images import PictureError, decode_picture

ORIGINALS = cache(originals)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 12), st.integers(0, 2**32))
def test_damaged_pictures_are_read_or_refused(kind: int, seed: int) -> None:
    data = mutated_picture(list(ORIGINALS().values())[kind], random.Random(seed))
    try:
        found = decode_picture(data, "damaged.jpg")
    except PictureError as error:
        message = str(error)
        assert message.startswith("damaged.jpg: ") and "\n" not in message and len(message) < 500
    else:
        assert found.dtype == torch.uint8 and found.ndim == 3 and found.shape[0] == 3


def test_strips_give_the_same_pixels(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    colours = Image.fromarray(rng.integers(0, 255, (50, 70, 4), dtype=np.uint8))
    palette = colours.convert("RGB").convert("P")
    palette.info["transparency"] = 3
    deep = Image.fromarray(rng.integers(0, 65535, (50, 70), dtype=np.uint16))
    for picture in (colours, palette, deep, colours.convert("CMYK"), colours.convert("L"), colours.convert("LA")):
        monkeypatch.setattr(images, "_STRIP_PIXELS", 1 << 20)
        whole = images.pixels_of(picture)
        monkeypatch.setattr(images, "_STRIP_PIXELS", 70 * 7)
        assert torch.equal(images.pixels_of(picture), whole), picture.mode
