"""The only place that decodes a picture: JPEG, PNG or WEBP to RGB tensor to encoder input.

A picture comes from anywhere, so the order of the questions is fixed: is it an ordinary file of bearable size, does its
content (not its name) start like one of the three formats, how many pixels does its header announce, and only then is
it decoded. A 165 KB file can announce 170 million pixels; it is refused before any of them is allocated.

Pillow decodes, and what it would do silently and wrongly is done here: 16-bit values are scaled instead of clipped to
white, transparency lies on white, EXIF orientation is applied. Of an animation the first frame counts. A file that ends
too early is refused, not filled up with gray. torchvision resizes, because its uint8 kernel takes a quarter of the time
of Pillow's; its JPEG decoder is deprecated.
"""

import math
import os
import warnings
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, functional

from showtell.config import ImageTransform
from showtell.data.paths import shown, why_unreadable
from showtell.errors import UserError

MAX_PIXELS = 50_000_000
MAX_BYTES = 256 * 2**20
# a progressive JPEG is decoded once per scan; real ones have about ten
MAX_SCANS = 200

_ORIENTATION = 0x0112
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS, "box": Image.Resampling.BOX, "hamming": Image.Resampling.HAMMING,
}  # fmt: skip
# Pillow complains of broken EXIF and the like without naming the file; the picture itself is judged below
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
_FOREIGN = (
    (b"GIF8", "a GIF"), (b"II*\0", "a TIFF"), (b"MM\0*", "a TIFF"), (b"BM", "a BMP"), (b"%!PS", "an EPS"),
    (b"%PDF", "a PDF"), (b"<", "a text (HTML, XML or SVG)"), (b"\0\0\0\x0cjP", "a JPEG 2000"),
)  # fmt: skip


class PictureError(UserError):
    """A picture that cannot be used; the message is one line: file and reason."""


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What a picture file is: its upright size in pixels, Pillow's mode, whether it is without colour."""

    width: int
    height: int
    format: str
    mode: str
    rotated: bool
    gray: bool


def read_picture(path: str | Path) -> Tensor:
    """A local JPEG, PNG or WEBP file, whatever its name ends with, as uint8 (3, height, width), RGB, upright.

    Raises:
        PictureError: no such picture, or one that cannot be decoded.
    """
    return _decode(_read_bytes(path), path)[0]


def picture_pixels(path: str | Path) -> NDArray[np.uint8]:
    """`read_picture` as `(height, width, 3)`, for those who draw."""
    pixels: NDArray[np.uint8] = read_picture(path).permute(1, 2, 0).numpy()
    return pixels


def decode_picture(data: bytes, name: str | Path) -> Tensor:
    """`read_picture` for a file's content that is in memory already; `name` is for messages."""
    if not 0 < len(data) <= MAX_BYTES:
        raise PictureError(f"{shown(name)}: {len(data):,} bytes are no picture of bearable size; save it again")
    return _decode(data, name)[0]


def prepare(picture: Tensor, transform: ImageTransform) -> Tensor:
    """Makes an encoder's input of an RGB picture.

    uint8 (3, height, width) is stretched with antialiasing, as torchvision's own pipelines do, then scaled to [0, 1]
    and normalized: float32 (3, size, size).
    """
    return normalized(resized(picture, transform), transform)


def resized(picture: Tensor, transform: ImageTransform) -> Tensor:
    """uint8 (3, height, width) fitted into (3, size, size)."""
    if transform.fit != "stretch":
        return fitted(picture, transform)
    interpolation = InterpolationMode(transform.interpolation)
    size = [transform.size, transform.size]
    small: Tensor = functional.resize(picture, size, interpolation=interpolation, antialias=True)
    return small.contiguous()


def fitted(picture: Tensor, transform: ImageTransform) -> Tensor:
    """`resized` by timm's rules, to the pixel: Pillow resizes, and roundings are those of its and torchvision's."""
    size, around = transform.size, math.floor(transform.size / transform.crop + 1e-6)
    _, height, width = picture.shape
    if transform.fit == "squash":
        new = (around, around)
    elif transform.fit == "pad":
        ratio = max(height / around, width / around)
        new = (max(1, round(width / ratio)), max(1, round(height / ratio)))
    else:  # torchvision cuts the longer side's fraction off
        new = (around, around * height // width) if width <= height else (around * width // height, around)
    scaled = Image.fromarray(picture.permute(1, 2, 0).numpy()).resize(new, _RESAMPLING[transform.interpolation])
    left, top = (round((one - size) / 2) if one >= size else -((size - one) // 2) for one in new)
    canvas = Image.new("RGB", (size, size), tuple(round(255 * value) for value in transform.mean))
    canvas.paste(scaled, (-left, -top))
    return torch.from_numpy(np.array(canvas)).permute(2, 0, 1).contiguous()


def normalized(small: Tensor, transform: ImageTransform) -> Tensor:
    """(3, size, size) with values up to 255, uint8 or float32, to float32 as the encoder wants it."""
    mean, std = _mean_and_std(transform)
    return small.to(torch.float32, copy=True).sub_(mean).div_(std)


@cache
def _mean_and_std(transform: ImageTransform) -> tuple[Tensor, Tensor]:
    """Both for values up to 255, as (3, 1, 1)."""
    mean, std = (255 * torch.tensor(values)[:, None, None] for values in (transform.mean, transform.std))
    return mean, std


def load_picture(path: str | Path, transform: ImageTransform) -> Tensor:
    """`read_picture`, then `prepare`: float32 (3, size, size)."""
    return prepare(read_picture(path), transform)


def inspect_picture(path: str | Path) -> PictureFacts:
    """Decodes the picture and tells what it is.

    Raises:
        PictureError: no such picture, or one that cannot be decoded.
    """
    pixels, header, orientation = _decode(_read_bytes(path), path)
    _, height, width = pixels.shape
    spread = pixels.amax(dim=0) - pixels.amin(dim=0)
    return PictureFacts(width, height, header.format or "", header.mode, orientation != 1, not bool(spread.any()))


def _decode(data: bytes, path: str | Path) -> tuple[Tensor, ImageFile, int]:
    """The upright pixels, the opened file and its EXIF orientation."""
    plugin = _plugin(data, path)
    # decoders raise whatever their parser stumbles over (SyntaxError, struct.error, ...): one thing for us
    try:
        if plugin is WebPImageFile:
            _check_size(_webp_size(data), path)
        # the plugin itself, not Image.open: that one warns or raises by limits of its own
        header = plugin(BytesIO(data))
        _check_size(header.size, path)
        if "progressive" in header.info and data.count(b"\xff\xda") > MAX_SCANS:
            raise PictureError(f"{shown(path)}: more than {MAX_SCANS} scans; save the picture again")
        header.load()
        # channels stay together in memory, as they were decoded and as resizing is fastest
        pixels = torch.from_numpy(np.array(_as_rgb(header))).permute(2, 0, 1)
        orientation = _orientation(header)
    except PictureError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0][:150] or type(error).__name__
        raise PictureError(f"{shown(path)}: a damaged or unusual {plugin.format} ({reason}); save it again") from None
    return _upright(pixels, orientation), header, orientation


def _read_bytes(path: str | Path) -> bytes:
    reason = why_unreadable(path)
    if reason:
        raise PictureError(f"{shown(path)}: {reason}")
    size = os.stat(path).st_size
    if size == 0:
        raise PictureError(f"{shown(path)}: the file is empty; fetch it again")
    if size > MAX_BYTES:
        raise PictureError(f"{shown(path)}: {size / 2**20:,.0f} MB, more than {MAX_BYTES // 2**20}; make it smaller")
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise PictureError(f"{shown(path)}: cannot be read ({error.strerror})") from None


def _plugin(data: bytes, path: str | Path) -> type[ImageFile]:
    """The reader for the format that the content shows."""
    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WebPImageFile
    if data[4:8] == b"ftyp":
        found = "an AVIF, HEIC or video"
    else:
        start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
        found = next((name for magic, name in _FOREIGN if start.startswith(magic)), "no picture")
    raise PictureError(f"{shown(path)}: {found} by its content; Showtell reads JPEG, PNG and WEBP, so convert it")


def _check_size(size: tuple[int, int], path: str | Path) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise PictureError(f"{shown(path)}: {width} x {height} pixels, more than {MAX_PIXELS:,}; make it smaller")
    if width < 1 or height < 1:
        raise PictureError(f"{shown(path)}: the header announces {width} x {height} pixels; save it again")


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


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16 bits: Pillow's own conversion clips everything above 255 to white
        image = Image.fromarray((np.asarray(image).astype(np.int32) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode == "P" or image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(header: ImageFile) -> int:
    """The EXIF orientation, 1 to 8; 1 if there is none or it makes no sense."""
    try:
        value = header.getexif().get(_ORIENTATION, 1)
    except Exception:  # a picture is not worse for a broken note about the camera
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: Tensor, orientation: int) -> Tensor:
    """Undoes the EXIF orientation of (3, height, width)."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels.flip(2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels.flip(1)
    return pixels
