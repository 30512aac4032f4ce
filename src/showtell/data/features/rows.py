"""The rows of a feature store on disk: features, states and checksums, and which rows are not as they were written.

A row's checksum is made of its numbers, its state, the store's key and the content of its picture. So it tells flipped
bits, rows of another store, and features of a picture that has been replaced since; such rows are stored anew, alone.
A store of an older version has none; its rows are taken as they are, and their checksums with them.
"""

import json
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.data.derived import Checked
from showtell.data.features.dtypes import DTYPES
from showtell.data.features.request import StoreRequest
from showtell.data.loading import cut
from showtell.files import atomic_write, parsed_json, write_text_atomically
from showtell.terminal import Progress

WAITING, STORED, UNREADABLE = 0, 1, 2
ABOUT, FEATURES, STATE, SUMS, COMPLETE = "about.json", "features.bin", "state.bin", "sums.bin", "complete"
MEMO_BYTES = 1 << 30
"""Larger stores are not read whole at each start; see `Checked`."""
_SPREAD = 0x9E3779B1
_PORTION = 4096
_SAID = {"name", "pictures", "encoder", "transform", "dtype", "feature_shape", "made"}


@dataclass
class StoreRows:
    """The R rows of a store: `features` `(R, ...)`, `state` `(R,)` uint8, `sums` `(R,)` uint32, mapped for writing."""

    directory: Path
    request: StoreRequest
    features: NDArray[Any]
    state: NDArray[np.uint8]
    sums: NDArray[np.uint32]

    @classmethod
    def opened(cls, directory: Path, request: StoreRequest, feature_shape: tuple[int, ...], mode: Any) -> "StoreRows":
        """Maps the files, which have their sizes; `mode` is numpy's."""
        sums = np.memmap(directory / SUMS, "<u4", mode, shape=(request.rows,))
        return cls(directory, request, *_mapped(directory, request, feature_shape, mode), sums)

    def write(self, rows: list[int], answers: NDArray[Any], unreadable: list[int]) -> None:
        """Stores answers, then their checksums, and only then says so: a kill leaves a row that waits."""
        if rows:
            self.features[rows] = answers
        for state, done in ((STORED, rows), (UNREADABLE, unreadable)):
            places = np.array(done, np.int64)
            self.sums[places] = self.expected(places, np.uint8(state))
            self.state[places] = state

    def flush(self) -> None:
        """To the disk."""
        for array in (self.features, self.sums, self.state):
            assert isinstance(array, np.memmap)
            array.flush()

    def expected(self, rows: NDArray[np.int64], state: NDArray[np.uint8] | np.uint8) -> NDArray[np.uint32]:
        """The checksums that go with what the rows hold now."""
        size = self.features.nbytes // len(self.features)
        data = self.features.reshape(-1).view(np.uint8).data
        one = partial(_row_sum, data, size, zlib.crc32(self.request.key().encode()))
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            # short rows are faster without threads: the interpreter's lock is held
            found = pool.map(one, rows.tolist(), chunksize=1) if size > 1 << 14 else map(one, rows.tolist())
            sums = np.fromiter(found, np.uint32, len(rows))
        return sums ^ self.request.contents_of(rows) ^ (np.asarray(state, np.uint64) * _SPREAD).astype(np.uint32)

    def damaged(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of these rows are neither waiting nor as they were written."""
        done = rows[self.state[rows] != WAITING]
        found: NDArray[np.int64] = done[self.expected(done, self.state[done]) != self.sums[done]]
        return found


def _mapped(
    directory: Path, request: StoreRequest, feature_shape: tuple[int, ...], mode: Any
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    dtype = DTYPES[request.dtype]
    shape = (request.rows, *dtype.stored_shape(feature_shape))
    features: NDArray[Any] = np.memmap(directory / FEATURES, dtype.file, mode, shape=shape)
    return features, np.memmap(directory / STATE, np.uint8, mode, shape=(request.rows,))


def _row_sum(data: memoryview, size: int, seed: int, row: int) -> int:
    return zlib.crc32(data[row * size : (row + 1) * size], seed)


def read_about(directory: Path, request: StoreRequest) -> dict[str, Any] | None:
    """What a store says of itself; None where that is not there, damaged, or not what is asked for."""
    try:
        about = parsed_json((directory / ABOUT).read_text(encoding="utf-8"))
        said = {name: value for name, value in about.items() if name != "checksum"}
        fits = all(about[name] == value for name, value in _facts(request).items())
        is_whole = about.get("checksum", _about_sum(said)) == _about_sum(said)  # an older version's has none
        has_shape = all(type(side) is int and side > 0 for side in about["feature_shape"])
        return about if fits and is_whole and has_shape and said.keys() == _SAID else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def write_about(directory: Path, request: StoreRequest, feature_shape: tuple[int, ...], made: str) -> None:
    """Describes a store, for people too."""
    about = {"name": request.name, **_facts(request), "feature_shape": list(feature_shape), "made": made}
    write_text_atomically(directory / ABOUT, json.dumps({**about, "checksum": _about_sum(about)}, indent=1))


def is_ready(directory: Path, request: StoreRequest, wanted: NDArray[np.int64]) -> bool:
    """Whether these rows are there and as they were written; writes nothing but what it found out."""
    about = read_about(directory, request)
    if about is None or any(_size(directory / name) != size for name, size in _sizes(request, about["feature_shape"])):
        return False
    rows = StoreRows.opened(directory, request, tuple(about["feature_shape"]), "r")
    if (rows.state[wanted] == WAITING).any():
        return False
    files, checked = [directory / name for name in (FEATURES, STATE, SUMS)], Checked(directory)
    is_large, seen = rows.features.nbytes > MEMO_BYTES, zlib.crc32(request.contents_of(wanted).tobytes())
    if is_large and checked.holds(files, seen):
        return True
    with Progress(f"checking {request.name}", len(wanted), "features", shown=is_large) as progress:
        for some in cut(wanted, _PORTION):
            if len(rows.damaged(some)):
                return False
            progress.count(len(some))
    if is_large:
        checked.add(files, seen)
    return True


def adopt(directory: Path, request: StoreRequest) -> None:
    """Takes the checksums of a store that an older version made, with a line."""
    about = read_about(directory, request)
    if about is None or "checksum" in about or (directory / SUMS).exists():
        return
    feature_shape = tuple(about["feature_shape"])
    if any(_size(directory / name) != size for name, size in _sizes(request, feature_shape) if name != SUMS):
        return
    print(f"note: {directory} is of an older version and has no checksums; they are taken now", flush=True)
    features, state = _mapped(directory, request, feature_shape, "r")
    rows = StoreRows(directory, request, features, state, np.zeros(request.rows, "<u4"))
    done = np.flatnonzero(state != WAITING)
    rows.sums[done] = rows.expected(done, state[done])
    with atomic_write(directory / SUMS) as file:
        file.write(rows.sums.tobytes())
    write_about(directory, request, feature_shape, str(about.get("made", "")))


def mend(rows: StoreRows, faults: list[str], *, complete: bool) -> None:
    """Lets rows that are not as they were written wait, and says in one line what was found.

    Args:
        rows: of the store, whose files have their sizes.
        faults: what was wrong with these.
        complete: whether all rows were there, so that none may wait.
    """
    everything = np.arange(len(rows.state))
    lost = rows.damaged(everything)
    rows.state[lost] = WAITING
    count = int((rows.state == WAITING).sum()) if complete else len(lost)
    if count:
        faults.append(f"{count:,} of {len(everything):,} features are damaged, lost, or of changed pictures")
    if faults:
        print(f"note: {rows.directory}: {'; '.join(faults)}; made again", flush=True)


def make_sizes(directory: Path, request: StoreRequest, feature_shape: tuple[int, ...]) -> Iterator[str]:
    """Gives states and checksums their sizes, what is new being zero; a line for each file that had another one."""
    for name, size in _sizes(request, feature_shape):
        file = directory / name
        if (found := _size(file)) != size:
            if found >= 0:
                yield f"{name} has {found:,} of {size:,} bytes"
            if name != FEATURES:
                with file.open("ab") as opened:
                    opened.truncate(size)


def _sizes(request: StoreRequest, feature_shape: Any) -> list[tuple[str, int]]:
    rows = request.rows
    return [(FEATURES, request.num_bytes(tuple(feature_shape))), (STATE, rows), (SUMS, 4 * rows)]


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else -1


def _facts(request: StoreRequest) -> dict[str, Any]:
    transform = json.loads(json.dumps(request.transform.facts()))
    return {"pictures": request.rows, "encoder": request.encoder, "transform": transform, "dtype": request.dtype}


def _about_sum(about: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(about, sort_keys=True).encode("ascii"))
