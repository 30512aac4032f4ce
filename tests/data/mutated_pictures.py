"""Damaged pictures: any bytes, and headers that announce other sizes, with checksums that are right again."""

import random
import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image
from tests.data.mutations import mutated

_SIDES = (0, 1, 2, 255, 640, 7000, 7071, 16_383, 40_000, 65_535, 50_000_000, 2**31 - 1, 2**32 - 1)


def originals() -> dict[str, bytes]:
    """A picture of 640 x 480 pixels in the forms in which JPEG, PNG and WEBP go round."""
    rows, columns = np.mgrid[0:480, 0:640]
    picture = Image.fromarray(np.stack([columns // 3, rows // 2, (columns + rows) % 256], -1).astype(np.uint8))
    other = picture.rotate(10)
    return {
        "jpeg": _saved(picture, "JPEG"), "progressive jpeg": _saved(picture, "JPEG", progressive=True),
        "cmyk jpeg": _saved(picture.convert("CMYK"), "JPEG"), "gray jpeg": _saved(picture.convert("L"), "JPEG"),
        "jpeg with exif": _saved(picture, "JPEG", exif=_exif()), "png": _saved(picture, "PNG"),
        "palette png": _saved(picture.convert("P"), "PNG", transparency=0),
        "transparent png": _saved(picture.convert("RGBA"), "PNG"),
        "apng": _saved(picture, "PNG", save_all=True, append_images=[other]),
        "webp": _saved(picture, "WEBP"), "lossless webp": _saved(picture, "WEBP", lossless=True),
        "transparent webp": _saved(other.convert("RGBA"), "WEBP"),
        "animated webp": _saved(picture, "WEBP", save_all=True, append_images=[other]),
    }  # fmt: skip


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def mutated_picture(data: bytes, rng: random.Random) -> bytes:
    """The picture with damage anywhere, in its header, or with another size in its header."""
    kind = rng.randrange(4)
    if kind == 0:
        return mutated(data, rng, rng.choice((1, 2, 5)))
    if kind == 1:
        head = rng.choice((64, 700))
        return mutated(data[:head], rng, rng.choice((1, 2, 3))) + data[head:]
    if kind == 2:
        # a long run, and often of the byte that a JPEG's marker begins with
        place = rng.randrange(len(data))
        piece = rng.choice((b"\xff", b"\0", b"\xff\xd0", b"\xff\xfe\0\2"))
        return data[:place] + piece * rng.choice((10, 10_000, 5_000_000)) + data[place:]
    return _announced(data, rng)


def _announced(data: bytes, rng: random.Random) -> bytes:
    width, height = rng.choice(_SIDES), rng.choice(_SIDES)
    changed = bytearray(data)
    if data.startswith(b"\x89PNG"):
        depth, colour = rng.choice((1, 2, 4, 8, 16)), rng.choice((0, 2, 3, 4, 6))
        header = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, rng.choice((0, 0, 1)))
        changed[12:33] = header + struct.pack(">I", zlib.crc32(header))
    elif data.startswith(b"\xff\xd8"):
        place = next(data.index(bytes([0xFF, mark])) for mark in (0xC0, 0xC2) if bytes([0xFF, mark]) in data)
        struct.pack_into(">HH", changed, place + 5, height % 65_536, width % 65_536)
        changed[place + 1] = rng.choice((0xC0, 0xC1, 0xC2))
    elif data[12:16] == b"VP8X":
        changed[24:30] = (width % 2**24).to_bytes(3, "little") + (height % 2**24).to_bytes(3, "little")
    elif data[12:16] == b"VP8L":
        changed[21:25] = ((width % 2**14) | (height % 2**14) << 14).to_bytes(4, "little")
    else:
        struct.pack_into("<HH", changed, 26, width % 2**14, height % 2**14)
    return bytes(changed)
