"""Pictures that must be refused: one line with file and reason, without hanging and without much memory."""

import os
import socket
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from showtell.data import picture_formats
from showtell.data.images import PictureError, read_picture


def encoded(kind: str, **options) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, colour_type: int = 0, data: bytes | None = None, crc: int = 0) -> bytes:
    """A PNG written by hand; without data it ends after its header."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header)] + ([(b"IDAT", data), (b"IEND", b"")] if data is not None else [(b"IEND", b"")])
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d) ^ crc) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def bomb(width: int, height: int, channels: int) -> bytes:
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(1 + width * channels)) for _ in range(height)) + packer.flush()
    return png(width, height, {1: 0, 3: 2}[channels], data)


def announced(data: bytes, place: int, form: str, *numbers: int) -> bytes:
    """A file whose header says other numbers."""
    patched = bytearray(data)
    struct.pack_into(form, patched, place, *numbers)
    return bytes(patched)


def announced_jpeg(width: int, height: int, **options) -> bytes:
    """A small JPEG whose header announces many pixels."""
    data = encoded("JPEG", **options)
    place = data.index(b"\xff\xc2" if options.get("progressive") else b"\xff\xc0")
    return announced(data, place + 5, ">HH", height, width)


def interleaved_not() -> bytes:
    """A baseline JPEG whose one scan, repeated, holds one component of three: the decoder passes over all each time."""
    data = announced_jpeg(7000, 7000)
    start = data.index(b"\xff\xda")
    scan = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" + data[start + 14 : -2]
    return data[:start] + scan * 30 + data[-2:]


def tiled_tiff() -> bytes:
    """A small TIFF in one tile of 60,000 x 60,000 pixels."""
    tags = {256: 9, 257: 9, 258: 8, 259: 5, 262: 1, 277: 1, 322: 60000, 323: 60000, 324: 200, 325: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return (b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)).ljust(300, b"\0")


def many_scans() -> bytes:
    """A progressive JPEG with its last scan repeated."""
    data = encoded("JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + scan * 1000 + data[-2:]


def vp8x(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<II", 10, 0) + size
    return b"RIFF" + struct.pack("<I", len(body)) + body


def animated_webp(width: int, height: int) -> bytes:
    data = vp8x(width, height)
    return data[:20] + b"\2" + data[21:]


def float_tiff() -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.ones((9, 9), np.float32)).save(buffer, "TIFF")
    return buffer.getvalue()


JPEG, PNG, WEBP = encoded("JPEG"), encoded("PNG"), encoded("WEBP")

CONTENTS = {
    "empty": (b"", "empty"),
    "jpeg start only": (b"\xff\xd8\xff", "JPEG"),
    "jpeg cut at 10%": (JPEG[: len(JPEG) // 10], "JPEG"),
    "jpeg cut at 90%": (JPEG[: len(JPEG) * 9 // 10], "truncated"),
    "jpeg without its end": (JPEG[:-2], "truncated"),
    "png cut": (PNG[: len(PNG) // 2], "PNG"),
    "webp cut": (WEBP[: len(WEBP) // 2], "WEBP"),
    "png with wrong checksums": (png(8, 8, 0, zlib.compress(bytes(72)), crc=1), "PNG"),
    "png with broken data": (png(8, 8, 0, b"\0" * 50), "PNG"),
    "png with too little data": (png(80, 80, 0, zlib.compress(bytes(100))), "PNG"),
    "png of no width": (png(0, 8, 0, zlib.compress(b"")), "PNG"),
    "html": (b"<!DOCTYPE html><html>404 Not Found</html>", "text (HTML"),
    "svg": (b"\xef\xbb\xbf\n<svg xmlns='...'/>", "SVG"),
    "text": (b"This is no picture.", "no picture"),
    "random": (np.random.default_rng(1).bytes(5000), "no picture"),
    "gif cut": (encoded("GIF")[:900], "GIF"),
    "bmp cut": (encoded("BMP")[:900], "BMP"),
    "tiff cut": (encoded("TIFF")[:900], "TIFF"),
    "avif cut": (encoded("AVIF")[:900], "AVIF"),
    "float tiff": (float_tiff(), "TIFF (numbers of 32 bits"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "an EPS"),
    "pdf": (b"%PDF-1.7\n", "a PDF"),
    "video": (b"\0\0\0\x18ftypisom" + bytes(20), "a video"),
    "jpeg 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    "bomb of 165 KB": (bomb(17000, 10000, 1), "17000 x 10000 pixels"),
    "bomb of 262 KB": (bomb(10000, 9000, 3), "10000 x 9000 pixels"),
    "bomb of 57 bytes": (png(65000, 65000), "65000 x 65000 pixels"),
    "bomb below Pillow's limit": (png(12000, 8000), "12000 x 8000 pixels"),
    "jpeg bomb": (announced_jpeg(65500, 65500), "65500 x 65500 pixels"),
    "webp bomb": (vp8x(16384, 16384), "16384 x 16384 pixels"),
    "animated webp bomb": (animated_webp(5000, 5000), "5000 x 5000 pixels, more than 12,500,000"),
    "thin bomb": (png(1, 45_000_000), "1 x 45000000 pixels, a side longer than 65,535"),
    "gif bomb": (announced(encoded("GIF"), 6, "<HH", 65535, 65535), "65535 x 65535 pixels"),
    "bmp bomb": (announced(encoded("BMP"), 18, "<ii", 60000, -60000), "60000 x 60000 pixels"),
    "tiff tile bomb": (tiled_tiff(), "60000 x 60000 pixels"),
    "progressive jpeg bomb": (announced_jpeg(9000, 9000, progressive=True), "9000 x 9000 pixels"),
    "jpeg of a few scans of many pixels": (interleaved_not(), "scans of 7000 x 7000 pixels"),
    "jpeg of a thousand scans": (many_scans(), "scans"),
    "jpeg with fill bytes before its end": (JPEG[:-2] + b"\xff" * 10**6 + JPEG[-2:], "endless fill bytes"),
    "jpeg with fill bytes before its header": (JPEG[:2] + b"\xff" * 10**6 + JPEG[2:], "endless fill bytes"),
    "jpeg with a million empty comments": (JPEG[:2] + b"\xff\xfe\0\2" * 10**6 + JPEG[2:], "empty segments"),
    "jpeg that announces more than it holds": (announced_jpeg(5000, 5000), "cannot hold the 5000 x 5000 pixels"),
    "png that announces more than it holds": (png(5000, 5000, 0, zlib.compress(bytes(100))), "cannot hold the 5000 x"),
}


def refusal(path: str | Path) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500
    return message


@pytest.mark.parametrize("name", CONTENTS)
def test_content_is_refused(tmp_path, name):
    content, reason = CONTENTS[name]
    path = tmp_path / "hostile.jpg"
    path.write_bytes(content)
    message = refusal(path)
    assert message.startswith(f"{path}: ") and reason in message


def test_not_ordinary_files_are_refused_without_opening_them(tmp_path):
    os.mkfifo(tmp_path / "fifo.jpg")
    os.symlink(tmp_path / "loop.jpg", tmp_path / "loop.jpg")
    os.symlink(tmp_path / "nowhere", tmp_path / "dangling.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.jpg"))
    for name, reason in {
        "fifo.jpg": "named pipe", "loop.jpg": "cannot be reached", "dangling.jpg": "not there",
        "folder.jpg": "folder", "socket.jpg": "socket", "missing.jpg": "not there",
        "x" * 300: "cannot be reached", "a\0b": "cannot be reached",
        "two\nlines.jpg": "not there",
    }.items():  # fmt: skip
        assert reason in refusal(tmp_path / name)
    assert "device" in refusal("/dev/zero")


@pytest.mark.parametrize("address", ["http://host/a.jpg", "https://host/a.jpg", "file:///etc/passwd", "s3://bucket/a"])
def test_addresses_are_refused(address):
    assert "address" in refusal(address) and "address" in refusal(Path(address))


def test_pictures_up_to_the_limit_on_pixels_are_read(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    monkeypatch.setattr(picture_formats, "MAX_PIXELS", 4800)
    assert read_picture(path).shape == (3, 60, 80)
    monkeypatch.setattr(picture_formats, "MAX_PIXELS", 4799)
    with pytest.raises(PictureError, match="80 x 60 pixels, more than 4,799"):
        read_picture(path)


def test_a_file_above_the_size_limit_is_not_read(tmp_path):
    path = tmp_path / "sparse.jpg"
    with path.open("wb") as file:
        file.truncate(2**40)
    assert "MB" in refusal(path)


MEASURE = """
import resource, sys
from showtell.data.images import PictureError, read_picture
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        read_picture(path)
    except PictureError:
        continue
    sys.exit("accepted " + path)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_bombs_take_little_memory(tmp_path):
    paths = []
    for name in CONTENTS:
        if "bomb" in name or "scans" in name:
            paths.append(tmp_path / f"{name}.jpg")
            paths[-1].write_bytes(CONTENTS[name][0])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-c", MEASURE, *map(str, paths)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 20_000, "kilobytes of memory beyond the imports"
