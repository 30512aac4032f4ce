"""What a picture file says before a pixel of it is decoded: its format, its size, and what decoding it would cost.

The content tells the format, not the name. A 165 KB file can announce 170 million pixels and a small JPEG can hold
thousands of scans that each touch every pixel, so size and cost are read first and refused where they are too much.
A JPEG in one scan is the exception: a decoder reads it at a half, a quarter or an eighth without ever holding the
whole, so phones' pictures of 108 and 200 megapixels are read scaled.
"""

import re
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from showtell.data.paths import shown
from showtell.errors import UserError

READ = "JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF and, with pillow-heif, HEIC"
MAX_PIXELS = 50_000_000
MAX_SCALED_PIXELS = 8 * MAX_PIXELS
# resizing a line of a million pixels to a square takes gigabytes; no JPEG has longer sides
MAX_SIDE = 65_535
# decoding costs about scans times pixels; real progressive JPEGs have about ten scans
MAX_SCANS = 200
MAX_SCANNED_PIXELS = 20 * MAX_PIXELS
# of an animation the decoder holds four canvases with 4 bytes per pixel
MAX_ANIMATED_PIXELS = MAX_PIXELS // 4
# what may stand between a JPEG's segments, and how many of them: they are read byte by byte in Python
MAX_FILL = 1 << 16
MAX_SEGMENTS = 10_000
# of the two compressions: bits that a block of 8 x 8 values takes at least, bytes that come out of one at most
_LEAST_BLOCK_BITS = 2
_MOST_INFLATED = 1032
# Pillow decodes these in Python
MAX_RLE_PIXELS = 4_000_000

_MAGIC: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImageFile), (b"\x89PNG\r\n\x1a\n", PngImageFile), (b"GIF87a", GifImageFile),
    (b"GIF89a", GifImageFile), (b"BM", BmpImageFile), (b"II*\0", TiffImageFile), (b"MM\0*", TiffImageFile),
    (b"II+\0", TiffImageFile), (b"MM\0+", TiffImageFile),
)  # fmt: skip
_FOREIGN = (
    (b"%!PS", "an EPS"), (b"%PDF", "a PDF"), (b"<", "a text (HTML, XML or SVG)"), (b"\0\0\0\x0cjP", "a JPEG 2000"),
    (b"8BPS", "a Photoshop file"), (b"\xff\x0a", "a JPEG XL"), (b"\0\0\0\x0cJXL", "a JPEG XL"),
)  # fmt: skip
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
# 0xFF in a scan's data is followed by 0 or by the mark of a restart
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd8]", re.DOTALL)
_SOF, _SOS, _EOI = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}, 0xDA, 0xD9
_PROGRESSIVE, _SEQUENTIAL = {0xC2, 0xC6, 0xCA, 0xCE}, {0xC0, 0xC1}


class PictureError(UserError):
    """A picture that cannot be used; the message is one line: file and reason."""


def reader_of(data: bytes, name: str | Path) -> type[ImageFile]:
    """Pillow's reader for the format that the content shows.

    Raises:
        PictureError: a format that is not read, or no picture.
    """
    for magic, reader in _MAGIC:
        if data.startswith(magic):
            return reader
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WebPImageFile
    if data[4:8] == b"ftyp":
        size = min(int.from_bytes(data[:4]), 256)
        brands = {data[place : place + 4] for place in (8, *range(16, size, 4))}
        if brands & _AVIF:
            return AvifImageFile
        if brands & _HEIC:
            return _heif_reader(name)
        found = "a video"
    else:
        start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
        found = next((kind for magic, kind in _FOREIGN if start.startswith(magic)), "no picture")
    raise PictureError(f"{shown(name)}: {found} by its content; Showtell reads {READ}, so convert it")


def _heif_reader(name: str | Path) -> type[ImageFile]:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise PictureError(
            f"{shown(name)}: a HEIC picture, which `pip install pillow-heif` lets Showtell read; or convert it to JPEG"
        ) from None
    reader: type[ImageFile] = HeifImageFile
    return reader


def open_bounded(reader: type[ImageFile], data: bytes, name: str | Path) -> tuple[ImageFile, tuple[int, int]]:
    """The opened file, whose `load()` is bounded in memory and time, and the width and height that it announces.

    A JPEG that is too large but can be read scaled is told to be.

    Raises:
        PictureError: too many pixels, or too much work. Readers raise whatever their parser stumbles over besides.
    """
    if reader is WebPImageFile:
        is_animated = data[12:16] == b"VP8X" and bool(data[20:21] and data[20] & 2)
        check_size(_webp_size(data), name, MAX_ANIMATED_PIXELS if is_animated else 0)
    cost = _jpeg_cost(data) if reader is JpegImageFile else None
    if cost and cost.is_padded:
        raise PictureError(f"{shown(name)}: a JPEG with endless fill bytes or empty segments; save it again")
    # the reader itself, not Image.open: that one warns or raises by limits of its own
    header = reader(BytesIO(data))
    size = header.size
    if cost and isinstance(header, JpegImageFile):
        _bound_jpeg(header, cost, name)
    else:
        check_size(size, name)
    if len(data) < _least_bytes(header, cost, data):
        raise PictureError(
            f"{shown(name)}: {len(data):,} bytes cannot hold the {size[0]} x {size[1]} pixels that it announces; "
            "fetch it again"
        )
    if isinstance(header, TiffImageFile):
        check_size((header.tag_v2.get(TILEWIDTH, 1), header.tag_v2.get(TILELENGTH, 1)), name)
    if header.tile and header.tile[0][0] == "bmp_rle" and size[0] * size[1] > MAX_RLE_PIXELS:
        raise PictureError(
            f"{shown(name)}: a run-length coded BMP of more than {MAX_RLE_PIXELS:,} pixels; save it anew"
        )
    return header, size


def check_size(size: tuple[int, int], name: str | Path, most: int = 0) -> None:
    """Refuses, by a PictureError, a width and height that are none or too much."""
    (width, height), most = size, most or MAX_PIXELS
    if width < 1 or height < 1:
        raise PictureError(f"{shown(name)}: the header announces {width} x {height} pixels; save it again")
    if width * height > most:
        raise PictureError(f"{shown(name)}: {width} x {height} pixels, more than {most:,}; make it smaller")
    if max(size) > MAX_SIDE:
        raise PictureError(f"{shown(name)}: {width} x {height} pixels, a side longer than {MAX_SIDE:,}; crop it")


class _JpegCost(NamedTuple):
    """What decoding a JPEG costs.

    Attributes:
        scans: how many there are.
        is_buffered: whether the decoder must hold all of it before it gives out the first line.
        is_sequential: whether each block has codes of its own, of one bit at least.
        is_padded: whether more than any camera writes lies between its segments.
    """

    scans: int
    is_buffered: bool
    is_sequential: bool
    is_padded: bool


def _least_bytes(header: ImageFile, cost: _JpegCost | None, data: bytes) -> float:
    """Fewer bytes are no whole picture: a header with other numbers, which a decoder would fill up with gray."""
    width, height = header.size
    if isinstance(header, JpegImageFile) and cost and cost.is_sequential:
        widest = max((factor[1] for factor in header.layer), default=1)
        highest = max((factor[2] for factor in header.layer), default=1)
        blocks = sum(
            (width * across // (8 * widest)) * (height * down // (8 * highest)) for _, across, down, _ in header.layer
        )
        return blocks * _LEAST_BLOCK_BITS / 8
    if isinstance(header, PngImageFile):
        bits = data[24] * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(data[25], 1)
        return height * (width * bits // 8) / _MOST_INFLATED
    return 0


def _bound_jpeg(header: JpegImageFile, cost: _JpegCost, name: str | Path) -> None:
    width, height = header.size
    scans, is_buffered = cost.scans, cost.is_buffered
    check_size(header.size, name, MAX_PIXELS if is_buffered else MAX_SCALED_PIXELS)
    if scans > MAX_SCANS or scans * width * height > MAX_SCANNED_PIXELS:
        raise PictureError(
            f"{shown(name)}: {scans:,} scans of {width} x {height} pixels would take too long; save it again"
        )
    if width * height > MAX_PIXELS:
        scale = 2 if width * height < 4 * MAX_PIXELS else 4
        header.draft(None, (width // scale, height // scale))


def _jpeg_cost(data: bytes) -> _JpegCost:
    """Reads the markers, not what lies between them; the thumbnails in EXIF and what follows the picture do not count.

    Source: ITU-T T.81, annex B.
    """
    scans, place, components, fill, segments, end = 0, 2, 0, 0, 0, len(data)
    is_buffered = is_sequential = is_scan = False
    while found := _JPEG_MARKER.search(data, place):
        kind, start = data[found.end() - 1], found.end()
        fill, segments = fill + (0 if is_scan else found.start() - place), segments + 1
        if kind == _EOI or fill > MAX_FILL or segments > MAX_SEGMENTS:
            end = start
            break
        if kind in _SOF:
            components, is_buffered = int.from_bytes(data[start + 7 : start + 8]), kind in _PROGRESSIVE
            is_sequential = kind in _SEQUENTIAL
        if kind == _SOS:
            scans += 1
            is_buffered |= int.from_bytes(data[start + 2 : start + 3]) != components
        is_scan = kind == _SOS
        place = start + int.from_bytes(data[start : start + 2])
    is_padded = fill > MAX_FILL or segments > MAX_SEGMENTS or data.find(b"\xff" * MAX_FILL, 0, end) >= 0
    return _JpegCost(scans, is_buffered, is_sequential, is_padded)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height from a WEBP header. Pillow's reader allocates two canvases before it tells them.

    Source: RFC 9649, sections 2.5 to 2.7.
    """
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
