"""The only place that decodes a picture: a file or what a program holds to RGB tensor to encoder input.

A picture comes from anywhere, so the order of the questions is fixed: is it an ordinary file of bearable size, what
does its content (not its name) say of format, pixels and cost (`picture_formats.py`), and only then is it decoded.

Pillow decodes, and what it would do silently and wrongly is done here: 16-bit values are scaled instead of clipped to
white, transparency lies on white, EXIF orientation is applied. Of an animation the first frame counts. A file that ends
too early is refused, not filled up with gray. Torch resizes, because its uint8 kernel takes a quarter of the time of
Pillow's; exactly as torchvision would, whose import takes longer than captioning a picture.
"""

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from platform import machine
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from torch import Tensor
from torch.nn.functional import interpolate

from showtell.config import ImageTransform
from showtell.data.paths import shown, why_unreadable
from showtell.data.picture_formats import PictureError as PictureError
from showtell.data.picture_formats import check_size, open_bounded, reader_of

MAX_BYTES = 256 * 2**20

PictureLike = str | Path | bytes | Image.Image | NDArray[np.uint8]
_ORIENTATION = 0x0112
_STRIP_PIXELS = 1 << 20
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS, "box": Image.Resampling.BOX, "hamming": Image.Resampling.HAMMING,
}  # fmt: skip
# Pillow complains of broken EXIF and the like without naming the file; the picture itself is judged below
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


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
    """A local picture file, whatever its name ends with, as uint8 (3, height, width), RGB, upright.

    Raises:
        PictureError: no such picture, or one that cannot be decoded.
    """
    return _decode(_read_bytes(path), path).pixels


def pixels_of(picture: PictureLike, name: str = "the picture") -> Tensor:
    """`read_picture` for whatever holds a picture; `name` is for messages about what has no path.

    Args:
        picture: a path, a file's content as bytes, a PIL picture, or a uint8 array: `(H, W, 3)` RGB, `(H, W, 4)` with
            transparency, which lies on white, or `(H, W)` and `(H, W, 1)` gray.
        name: what the picture is called.

    Raises:
        PictureError: no such picture, one that cannot be decoded, or an array of another shape or type.
    """
    if isinstance(picture, str | Path):
        return read_picture(picture)
    if isinstance(picture, bytes | bytearray | memoryview):
        return decode_picture(bytes(picture), name)
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or not _is_picture_shape(picture.shape):
            raise PictureError(
                f"{name}: an array of {picture.dtype} and shape {picture.shape}; "
                "give uint8 from 0 to 255 and the shape (height, width, 3)"
            )
        picture = Image.fromarray(picture[..., 0] if picture.shape[2:] == (1,) else picture)
    if not isinstance(picture, Image.Image):
        kind = type(picture).__name__
        raise PictureError(f"{name}: a {kind} is no picture; give a path, bytes, a PIL picture or a uint8 array")
    check_size(picture.size, name)
    try:
        picture.load()
        return _upright_pixels(picture, _orientation(picture))
    except Exception as error:  # Pillow opens files lazily, and they may be damaged
        reason = str(error).strip().split("\n")[0][:150] or type(error).__name__
        raise PictureError(f"{name}: cannot be decoded ({reason})") from None


def _is_picture_shape(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))


def picture_pixels(path: str | Path) -> NDArray[np.uint8]:
    """`read_picture` as `(height, width, 3)`, for those who draw."""
    pixels: NDArray[np.uint8] = read_picture(path).permute(1, 2, 0).numpy()
    return pixels


def decode_picture(data: bytes, name: str | Path) -> Tensor:
    """`read_picture` for a file's content that is in memory already; `name` is for messages."""
    if not 0 < len(data) <= MAX_BYTES:
        raise PictureError(f"{shown(name)}: {len(data):,} bytes are no picture of bearable size; save it again")
    return _decode(data, name).pixels


def prepare(picture: Tensor, transform: ImageTransform) -> Tensor:
    """Makes an encoder's input of an RGB picture.

    uint8 (3, height, width) is stretched with antialiasing, as torchvision's own pipelines do, then scaled to [0, 1]
    and normalized: float32 (3, size, size), or what a pair of encoders takes.
    """
    return one_after_the_other([normalized(resized(picture, one), one) for one in transform.parts])


def unnormalized(picture: Tensor, transform: ImageTransform) -> Tensor:
    """`prepare` without its last step for a single encoder: uint8 `(3, size, size)`; for a pair all of it."""
    return resized(picture, transform) if len(transform.parts) == 1 else prepare(picture, transform)


def one_after_the_other(inputs: Sequence[Tensor]) -> Tensor:
    """The inputs (3, S, S) of the encoders of a pair as one; see `ImageTransform.beside`. A single one as it is."""
    return inputs[0] if len(inputs) == 1 else torch.cat([one.flatten(1) for one in inputs], dim=1).unsqueeze(-1)


def resized(picture: Tensor, transform: ImageTransform) -> Tensor:
    """uint8 (3, height, width) fitted into (3, size, size); stretched, to the bit as torchvision's `resize` does."""
    if transform.fit != "stretch":
        return fitted(picture, transform)
    size = [transform.size, transform.size]
    if list(picture.shape[1:]) == size:
        return picture.contiguous()
    # a batch of one whose strides say that channels stay together, which takes the fast kernel
    batch = picture.permute(1, 2, 0).unsqueeze(0).permute(0, 3, 1, 2)
    has_kernel = transform.interpolation == "bicubic" or _resizes_bytes()
    batch = batch if has_kernel else batch.float()
    small = interpolate(batch, size, mode=transform.interpolation, align_corners=False, antialias=True)[0]
    return (small if has_kernel else small.round_().to(torch.uint8)).contiguous()


@cache
def _resizes_bytes() -> bool:
    """Whether torch has a fast bilinear kernel for uint8 on this processor."""
    return torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512") or machine() in ("aarch64", "arm64")


def fitted(picture: Tensor, transform: ImageTransform) -> Tensor:
    """`resized` by timm's rules, to the pixel: Pillow resizes, and roundings are those of its and torchvision's."""
    size, (_, height, width) = transform.size, picture.shape
    new, (left, top) = placed(width, height, transform)
    scaled = Image.fromarray(picture.permute(1, 2, 0).numpy()).resize(new, _RESAMPLING[transform.interpolation])
    canvas = Image.new("RGB", (size, size), tuple(round(255 * value) for value in transform.mean))
    canvas.paste(scaled, (-left, -top))
    return torch.from_numpy(np.array(canvas)).permute(2, 0, 1).contiguous()


def placed(width: int, height: int, transform: ImageTransform) -> tuple[tuple[int, int], tuple[int, int]]:
    """Width and height of the scaled picture, and where in it the square begins: left, top."""
    size, around = transform.size, math.floor(transform.size / transform.crop + 1e-6)
    if transform.fit == "squash":
        new = (around, around)
    elif transform.fit == "pad":
        ratio = max(height / around, width / around)
        new = (max(1, round(width / ratio)), max(1, round(height / ratio)))
    else:  # torchvision cuts the longer side's fraction off
        new = (around, around * height // width) if width <= height else (around * width // height, around)
    left, top = (round((one - size) / 2) if one >= size else -((size - one) // 2) for one in new)
    return new, (left, top)


def normalized(small: Tensor, transform: ImageTransform) -> Tensor:
    """(..., 3, size, size) with values up to 255, uint8 or float32, to float32 as the encoder wants it."""
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
    pixels, header, (width, height), orientation = _decode(_read_bytes(path), path)
    if orientation >= 5:
        width, height = height, width
    spread = pixels.amax(dim=0) - pixels.amin(dim=0)
    return PictureFacts(width, height, header.format or "", header.mode, orientation != 1, not bool(spread.any()))


class _Decoded(NamedTuple):
    """Upright pixels, the opened file, the width and height of its header, and its EXIF orientation."""

    pixels: Tensor
    header: ImageFile
    size: tuple[int, int]
    orientation: int


def _decode(data: bytes, path: str | Path) -> _Decoded:
    reader = reader_of(data, path)
    # decoders raise whatever their parser stumbles over (SyntaxError, struct.error, ...): one thing for us
    try:
        header, size = open_bounded(reader, data, path)
        header.load()
        orientation = _orientation(header)
        return _Decoded(_upright_pixels(header, orientation), header, size, orientation)
    except PictureError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0][:150] or type(error).__name__
        raise PictureError(f"{shown(path)}: a damaged or unusual {reader.format} ({reason}); save it again") from None


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


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("F", "I"):
        raise ValueError("numbers of 32 bits, for which nobody says what is white")
    if image.mode.startswith("I"):
        # 16 bits: Pillow's own conversion clips everything above 255 to white
        image = Image.fromarray((np.asarray(image).astype(np.int32) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode == "P" or image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _rgb_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """`(height, width, 3)`, strip by strip: a large picture is held twice and not four times."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    if rows >= height:
        return np.array(_as_rgb(image))
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        pixels[top : top + rows] = np.asarray(_as_rgb(image.crop((0, top, width, min(height, top + rows)))))
    return pixels


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if there is none or it makes no sense."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a picture is not worse for a broken note about the camera
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright_pixels(image: Image.Image, orientation: int) -> Tensor:
    """RGB as (3, height, width) with the EXIF orientation undone."""
    # channels stay together in memory, as they were decoded and as resizing is fastest
    pixels = torch.from_numpy(_rgb_pixels(image)).permute(2, 0, 1)
    if orientation >= 5:
        pixels = pixels.transpose(1, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels.flip(2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels.flip(1)
    return pixels
