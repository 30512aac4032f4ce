"""Writes a shard: whole or not at all, and the same bytes for the same content."""

import json
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.atomic import atomic_write
from showtell.data.shards.members import ABOUT

_SUFFIXES = ((b"\x89PNG", "png"), (b"RIFF", "webp"))


class ShardWriter:
    """Adds samples to an open tar file."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def add(
        self,
        key: str,
        captions: Sequence[str],
        picture: bytes | None = None,
        features: NDArray[np.floating[Any]] | None = None,
    ) -> None:
        """A sample: captions, and picture or features or both."""
        if picture is not None:
            self._member(f"{key}.{suffix_of(picture)}", picture)
        if features is not None:
            array = BytesIO()
            np.save(array, np.ascontiguousarray(features), allow_pickle=False)
            self._member(f"{key}.npy", array.getvalue())
        self._member(f"{key}.json", json.dumps({"captions": list(captions)}).encode("ascii"))

    def about(self, facts: dict[str, Any]) -> None:
        """What is to be known of the shard as a whole; other readers pass over it."""
        self._member(ABOUT, json.dumps(facts).encode("ascii"))

    def _member(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), 0o644
        self._archive.addfile(member, BytesIO(data))


@contextmanager
def shard_writer(path: Path) -> Iterator[ShardWriter]:
    """Opens a shard that appears under its name when the block ends without an error.

    Raises:
        WriteError: the disk is full, or a permission is missing.
    """
    with atomic_write(path) as file, tarfile.open(fileobj=file, mode="w") as archive:
        yield ShardWriter(archive)


def suffix_of(picture: bytes) -> str:
    """The usual suffix of a picture, by its content."""
    return next((suffix for magic, suffix in _SUFFIXES if picture.startswith(magic)), "jpg")
