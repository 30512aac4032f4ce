"""Figures: CPU seconds of loading a picture with Pillow over those with another JPEG decoder, and whether pixels are the same.

    pip install torchcodec simplejpeg
    PYTHONPATH=src python benchmarks/jpeg_decoders.py

Loading is what a store pays before the encoder: reading, the checks of the header, decoding, resizing. Decoders take
turns on each picture; a library that is not installed is left out. docs/decisions/encoder_speed.md has figures.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from time import process_time

import torch
from machine import DATA, machine
from torch import Tensor

from showtell.config import EncoderConfig
from showtell.data import images
from showtell.launching.allocator import keep_freed_memory
from showtell.models.encoders.base import find_weights

Reader = Callable[[Path], Tensor]


def readers() -> dict[str, Reader]:
    found: dict[str, Reader] = {"Pillow": images.read_picture}
    if find_spec("torchcodec"):
        from torchcodec.decoders import decode_jpeg

        found["torchcodec"] = checked(decode_jpeg)  # RGB, upright
    if find_spec("simplejpeg"):
        from simplejpeg import decode_jpeg as decode

        found["simplejpeg"] = checked(lambda data: torch.from_numpy(decode(data)).permute(2, 0, 1))
    return found


def checked(decode: Callable[[bytes], Tensor]) -> Reader:
    """Reads a file as `read_picture` does, but for the decoder."""

    def read(path: Path) -> Tensor:
        data = images._read_bytes(path)
        header, _ = images.open_bounded(images.reader_of(data, path), data, path)
        images._orientation(header)
        return decode(data)

    return read


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    transform = find_weights(EncoderConfig(name="efficientnet_lite0", weights="imagenet")).transform
    print(machine())
    for folder in ("flickr800", "coco_mini"):
        paths = sorted((DATA / folder).rglob("*.jpg"))[:300]
        every = readers()
        seconds, same = dict.fromkeys(every, 0.0), dict.fromkeys(every, 0)
        for turn, path in enumerate(paths):
            pixels = {}
            for name in sorted(every, key=lambda one: (list(every).index(one) + turn) % len(every)):
                began = process_time()
                pixels[name] = images.unnormalized(every[name](path), transform)
                seconds[name] += process_time() - began
            for name, found in pixels.items():
                same[name] += torch.equal(found, pixels["Pillow"])
        for name, spent in seconds.items():
            ratio, each = seconds["Pillow"] / spent, 1000 * spent / len(paths)
            print(f"{folder}, {name}: {each:.2f} ms, {ratio:.2f} x; the same pixels in {same[name]} of {len(paths)}")


if __name__ == "__main__":
    main()
