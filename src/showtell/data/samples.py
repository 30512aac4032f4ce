"""Thumbnails of the pictures that a run shows; kept on disk, so that a warm start opens no picture."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from showtell.atomic import atomic_write
from showtell.data.files import stamp
from showtell.data.images import read_picture
from showtell.drawing import Pixels, thumbnail


def thumbnails(paths: Sequence[Path], cache: Path) -> list[Pixels]:
    """Each picture `(h, w, 3)`, its longer side at most 320 pixels."""
    key = hashlib.sha256("\n".join(f"{path}\0{stamp(path)}" for path in paths).encode("utf-8", "surrogateescape"))
    file = cache / "thumbnails" / f"{key.hexdigest()[:16]}.npz"
    if not file.is_file():
        pictures = [thumbnail(read_picture(path).permute(1, 2, 0).numpy()) for path in paths]
        with atomic_write(file) as opened:
            np.savez(opened, *pictures)
    with np.load(file, allow_pickle=False) as found:
        return [found[f"arr_{i}"] for i in range(len(paths))]
