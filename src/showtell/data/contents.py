"""What files hold, as checksums: each file is read once, and again when its size, times or inode have changed.

So a picture that is replaced by another one of the same name and size is noticed, by the stored features of it and by
a run that is resumed. The checksums are kept in the cache, for the files of a split together.
"""

import os
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showtell.data.derived import CHUNK, DamagedError, sealed_write, told_again, unsealed
from showtell.data.paths import FileFacts, file_facts, why_unreadable
from showtell.files import short_hash
from showtell.terminal import Progress

SAMPLED_BYTES = 64 << 20
SHOWN_BYTES = 256 << 20
_THREADS = 8


class Contents:
    """The contents of files.

    Args:
        paths: P files.
        folder: where their checksums are kept.
        facts: of the files, where somebody has asked already.
    """

    def __init__(self, paths: Sequence[str], folder: Path, facts: Sequence[FileFacts] | None = None) -> None:
        self._paths = paths
        self._facts = np.array(facts if facts is not None else [file_facts(path) for path in paths], np.int64)
        self._facts = self._facts.reshape(-1, 4)
        self._file = folder / (short_hash(f"{path}\0" for path in paths) + ".npz")

    @property
    def num_bytes(self) -> int:
        """The size of all files."""
        return int(self._facts[:, 0].clip(min=0).sum())

    def of(self, rows: NDArray[np.int64] | None = None) -> NDArray[np.uint32]:
        """`(P,)` checksums of the files in these rows, else of all; 0 where there is no file, or none was asked for."""
        facts, sums = self._known
        asked = np.arange(len(self._paths)) if rows is None else rows
        there = asked[self._facts[asked, 0] >= 0]
        todo = there[(facts[there] != self._facts[there]).any(axis=1)]
        if len(todo):
            sums[todo], facts[todo] = self._read(todo), self._facts[todo]
            with sealed_write(self._file) as opened:
                np.savez(opened, facts=facts, sums=sums)
        found = np.zeros(len(self._paths), np.uint32)
        found[there] = sums[there]
        return found

    @cached_property
    def _known(self) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        shape = self._facts.shape
        if self._file.is_file():
            try:
                with np.load(BytesIO(unsealed(self._file)), allow_pickle=False) as found:
                    if found["facts"].shape == shape:
                        return found["facts"], found["sums"]
            except DamagedError as error:
                told_again(str(error))
        return np.full(shape, -1, np.int64), np.zeros(shape[0], np.uint32)

    def _read(self, rows: NDArray[np.int64]) -> list[int]:
        is_shown = self._facts[rows, 0].sum() > SHOWN_BYTES
        with (
            ThreadPoolExecutor(_THREADS) as pool,
            Progress("comparing contents", len(rows), "files", shown=bool(is_shown)) as progress,
        ):
            found = []
            for value in pool.map(content_sum, (self._paths[row] for row in rows.tolist())):
                found.append(value)
                progress.count()
        return found


def identity(named: str, contents: Iterable[Contents]) -> str:
    """Tells data sets apart: a hash of names and sizes, and one of the contents of the files in their order."""
    return f"{named}-{short_hash(one.of().astype('<u4').tobytes() for one in contents)}"


def content_sum(path: str | Path, *, whole: bool = False) -> int:
    """The CRC-32 of a file's content; 0 of what cannot be read.

    Of a file of more than 64 MB, which hardly a picture has and many a shard, 64 pieces of 1 MB that are spread over it
    count, unless the `whole` is wanted.
    """
    if why_unreadable(path):
        return 0
    checksum = 0
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > SAMPLED_BYTES and not whole:
                starts = np.linspace(0, size - CHUNK, SAMPLED_BYTES // CHUNK).astype(int).tolist()
                for start in starts:
                    checksum = zlib.crc32(os.pread(file.fileno(), CHUNK, start), checksum)
                return checksum
            while data := file.read(CHUNK):
                checksum = zlib.crc32(data, checksum)
    except OSError:
        return 0
    return checksum
