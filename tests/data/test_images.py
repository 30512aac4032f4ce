"""Pictures that are unusual but good: each becomes the pixels that a person would see."""

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from showtell.config import ImageTransform
from showtell.data import picture_formats
from showtell.data.images import (
    PictureError,
    inspect_picture,
    load_picture,
    pixels_of,
    prepare,
    read_picture,
    resized,
)


def smooth(height: int = 60, width: int = 80) -> Image.Image:
    """Gradients in three directions, so that flips and channel swaps show and JPEG changes little."""
    y, x = np.mgrid[0:height, 0:width]
    red, green, blue = x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)
    return Image.fromarray(np.stack([red, green, blue], axis=2).astype(np.uint8))


def saved(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def as_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def differ(a: torch.Tensor, b: torch.Tensor) -> int:
    return int((a.int() - b.int()).abs().max())


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}])
def test_jpeg_equals_what_pillow_opens(tmp_path, options):
    path = saved(tmp_path / "a.jpg", smooth(), **options)
    assert differ(read_picture(path), as_tensor(Image.open(path))) == 0


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [64, 500])
def test_input_equals_pillows_pipeline_within_one_level(tmp_path, interpolation, size):
    path = saved(tmp_path / "a.jpg", smooth(300, 417))
    transform = ImageTransform(size=size, interpolation=interpolation)
    resized = Image.open(path).resize((size, size), getattr(Image.Resampling, interpolation.upper()))
    mean, std = (torch.tensor(values)[:, None, None] for values in (transform.mean, transform.std))
    expected = (as_tensor(resized) / 255 - mean) / std
    assert ((load_picture(path, transform) - expected) * std).abs().max() <= 1.01 / 255


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.bmp", "a.tif", "png_named.jpg"])
def test_lossless_formats_are_read_exactly(tmp_path, name):
    kind = {"format": "WEBP", "lossless": True} if name.endswith("webp") else {}
    kind |= {"format": "PNG"} if name == "png_named.jpg" else {}
    assert differ(read_picture(saved(tmp_path / name, smooth(), **kind)), as_tensor(smooth())) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_exif_orientation_is_undone(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a.{suffix}", smooth(), exif=exif)
    upright = ImageOps.exif_transpose(Image.open(path))
    assert differ(read_picture(path), as_tensor(upright)) <= 1
    facts = inspect_picture(path)
    assert (facts.width, facts.height) == upright.size
    assert suffix == "tif" or facts.rotated == (orientation != 1)  # Pillow turns a TIFF itself


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0garbage"])
def test_broken_exif_is_no_reason_to_refuse(tmp_path, exif):
    path = saved(tmp_path / "a.jpg", smooth(), exif=exif)
    assert read_picture(path).shape == (3, 60, 80)


def test_cmyk_keeps_its_colours(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.new("CMYK", (40, 30), (0, 255, 255, 0)), quality=95)
    red, green, blue = read_picture(path).float().mean(dim=(1, 2))
    assert red > 240 and green < 15 and blue < 15


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_gray_fills_three_channels(tmp_path, suffix):
    path = saved(tmp_path / f"a.{suffix}", smooth().convert("L"))
    picture = read_picture(path)
    assert picture.shape == (3, 60, 80) and torch.equal(picture[0], picture[2])
    assert inspect_picture(path).gray


@pytest.mark.parametrize("dtype_max", [65535, 4095])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, dtype_max):
    values = np.linspace(0, dtype_max, 60 * 80).reshape(60, 80).astype(np.uint16)
    picture = read_picture(saved(tmp_path / "a.png", Image.fromarray(values)))
    assert torch.equal(picture[0], torch.from_numpy((values >> 8).astype(np.uint8)))


def test_sixteen_bit_colour(tmp_path):
    import zlib

    row = b"\0" + struct.pack(">HHH", 0xFF00, 0x8000, 0x0100) * 5
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 5, 4, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * 4)),
        (b"IEND", b""),
    ]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    assert read_picture(path)[:, 0, 0].tolist() == [255, 128, 1]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_white(tmp_path, mode):
    image = Image.new(mode, (20, 10), (0,) * len(mode))
    assert read_picture(saved(tmp_path / "a.png", image)).min() == 255


def test_transparent_palette_lies_on_white(tmp_path):
    image = Image.new("P", (20, 10), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    path = saved(tmp_path / "a.png", image, transparency=1)
    assert read_picture(path).min() == 255


def test_palette_and_one_bit(tmp_path):
    palette = Image.new("P", (20, 10), 1)
    palette.putpalette([0, 0, 0, 255, 0, 9])
    assert read_picture(saved(tmp_path / "p.png", palette))[:, 5, 5].tolist() == [255, 0, 9]
    assert read_picture(saved(tmp_path / "b.png", Image.new("1", (20, 10), 1))).min() == 255


@pytest.mark.parametrize("suffix", ["png", "webp", "gif", "tif"])
def test_first_frame_of_an_animation(tmp_path, suffix):
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime")]
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], **options)
    assert read_picture(path)[:, 5, 5].tolist() == [255, 0, 0]


@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (20000, 1), (3, 700)])
def test_extreme_shapes_reach_the_encoder(tmp_path, size):
    path = saved(tmp_path / "a.jpg", Image.new("RGB", size, "white"))
    prepared = load_picture(path, ImageTransform())
    assert prepared.shape == (3, 224, 224) and prepared.isfinite().all()


def test_bytes_after_the_end_do_not_matter(tmp_path):
    path = saved(tmp_path / "a.jpg", smooth())
    path.write_bytes(path.read_bytes() + b"\0" * 1000)
    assert read_picture(path).shape == (3, 60, 80)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_prepare_normalizes(interpolation):
    transform = ImageTransform(size=8, interpolation=interpolation)
    prepared = prepare(torch.full((3, 31, 17), 255, dtype=torch.uint8), transform)
    expected = (1 - torch.tensor(transform.mean)) / torch.tensor(transform.std)
    assert prepared.dtype == torch.float32 and prepared.is_contiguous()
    assert torch.allclose(prepared, expected[:, None, None].expand(3, 8, 8), atol=1e-6)


def test_prepare_does_not_change_its_input():
    picture = torch.randint(0, 256, (3, 224, 224), dtype=torch.uint8)
    before = picture.clone()
    prepare(picture, ImageTransform())
    assert torch.equal(picture, before)


def test_mpo_is_read_as_its_first_picture(tmp_path):
    buffer = io.BytesIO()
    smooth().save(buffer, "MPO", save_all=True, append_images=[Image.new("RGB", (80, 60))])
    path = tmp_path / "a.jpg"
    path.write_bytes(buffer.getvalue())
    assert differ(read_picture(path), as_tensor(smooth())) < 40


@pytest.mark.parametrize("suffix", ["avif", "heic"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_what_phones_take_is_read_upright(tmp_path, suffix, orientation):
    if suffix == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "IMG_1.jpg", smooth(), format={"avif": "AVIF", "heic": "HEIF"}[suffix], exif=exif.tobytes())
    upright = ImageOps.exif_transpose(saved_again(smooth(), orientation))
    found = read_picture(path)
    assert found.shape == as_tensor(upright).shape and differ(found, as_tensor(upright)) < 40


def saved_again(image: Image.Image, orientation: int) -> Image.Image:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    return Image.open(buffer)


def test_heic_without_its_package_is_a_line_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    with pytest.raises(PictureError, match=r"IMG_1\.HEIC: a HEIC picture, which `pip install pillow-heif` lets"):
        read_picture(tmp_path / "IMG_1.HEIC")


@pytest.mark.parametrize(("most", "shape"), [(4800, (60, 80)), (4799, (30, 40)), (1200, (15, 20))])
def test_a_jpeg_of_too_many_pixels_is_read_scaled(tmp_path, monkeypatch, most, shape):
    path = saved(tmp_path / "a.jpg", smooth(), quality=95)
    monkeypatch.setattr(picture_formats, "MAX_PIXELS", most)
    found = read_picture(path)
    assert found.shape[1:] == shape
    assert differ(found, as_tensor(smooth().resize(shape[::-1], Image.Resampling.BOX))) < 12
    assert (inspect_picture(path).width, inspect_picture(path).height) == (80, 60)


def test_a_progressive_jpeg_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    """Its decoder would hold all coefficients of the whole picture, whatever the scale."""
    monkeypatch.setattr(picture_formats, "MAX_PIXELS", 4799)
    with pytest.raises(PictureError, match="80 x 60 pixels, more than 4,799"):
        read_picture(saved(tmp_path / "a.jpg", smooth(), progressive=True))


def test_thumbnails_and_further_pictures_are_no_scans(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_formats, "MAX_SCANS", 1)
    buffer = io.BytesIO()
    smooth().save(buffer, "JPEG")
    exif = b"Exif\0\0" + buffer.getvalue()
    path = tmp_path / "a.jpg"
    smooth().save(path, "MPO", save_all=True, append_images=[smooth()], exif=exif)
    assert read_picture(path).shape == (3, 60, 80)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(60, 80), (64, 64), (1, 300), (500, 3)])
def test_resizing_is_torchvisions_to_the_bit(interpolation, size):
    """Features that were stored with it stay what they are."""
    from torchvision.transforms.v2 import InterpolationMode, functional

    picture = torch.randint(0, 256, (*size, 3), dtype=torch.uint8).permute(2, 0, 1)
    for view in (picture, picture.flip(2), picture.transpose(1, 2), picture.contiguous()):
        mode = InterpolationMode(interpolation)
        expected = functional.resize(view, [64, 64], interpolation=mode, antialias=True)
        assert torch.equal(resized(view, ImageTransform(size=64, interpolation=interpolation)), expected)


def test_what_a_program_holds_is_the_picture_of_its_file(tmp_path):
    path = saved(tmp_path / "a.png", smooth())
    array = np.array(smooth())
    for held in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), smooth(), Image.open(path), array):
        assert torch.equal(pixels_of(held), as_tensor(smooth()))
    gray = pixels_of(array[:, :, :1])
    assert torch.equal(gray, pixels_of(array[:, :, 0])) and torch.equal(gray[0], gray[2])
    assert pixels_of(np.zeros((9, 9, 4), np.uint8)).min() == 255


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (np.zeros((3, 60, 80), np.uint8), r"x: an array of uint8 and shape \(3, 60, 80\); give uint8"),
        (np.zeros((60, 80, 3)), "x: an array of float64 and shape"),
        (7, "x: a int is no picture; give a path, bytes, a PIL picture or a uint8 array"),
        (b"", "x: 0 bytes are no picture"),
        (b"hello", "x: no picture by its content"),
    ],
)
def test_what_is_no_picture_is_one_line(held, reason):
    with pytest.raises(PictureError, match=reason):
        pixels_of(held, "x")
