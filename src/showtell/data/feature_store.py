"""The feature store: what the frozen encoder says about every picture of a data set, on disk, once.

A store is a folder named by a hash of everything its numbers follow from (encoder, weights, transform, precision,
list of pictures with their sizes and times), so a change of any of them is another store and nothing is ever stale.
In it:

- `features.bin`: one row per picture, raw float16 or float32, memory-mapped;
- `state.bin`: one byte per picture (waiting, stored, unreadable), written after the row, so that a killed build goes
  on;
- `about.json`: what it was made from, for people and for `python -m showtell.data stores`;
- `complete`: the marker that is written last. Without it a store is not used.

A store of views has several rows per picture: it was changed at random before the encoder saw it, in a way that
belongs to the key too.

One run builds under a file lock, others wait for it. The lock dies with its holder. The ranks of a run build together:
batches are those of a single process, so that every bit is the same, and go round in turn. Ranks of further machines
wait, because two machines that map one file over a network would overwrite each other's neighbouring rows.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from showtell.atomic import atomic_write, remove_stale_temporaries
from showtell.data.images import PictureError
from showtell.data.progress import Progress
from showtell.data.store_request import StoreRequest
from showtell.data.workers import note_done, note_reading, watched
from showtell.distributed import all_gather, broadcast, get_ranks, is_rank_zero, rank_zero_first
from showtell.errors import UserError

WAITING, STORED, UNREADABLE = 0, 1, 2


class PictureEncoder(Protocol):
    """The frozen encoder at work: pixels `(B, 3, S, S)` to features `(B, *feature_shape)`."""

    feature_shape: tuple[int, ...]

    def __call__(self, pixels: Tensor, /) -> Tensor:
        """The features of normalized pixels."""
        ...


class StoreError(UserError):
    """A store that cannot be built; one line with the remedy."""


class FeatureStore:
    """A complete store: `features` `(P, *feature_shape)` memory-mapped, `unreadable` `(P,)` bool."""

    def __init__(self, directory: Path) -> None:
        about = json.loads((directory / "about.json").read_text())
        shape = (about["pictures"], *about["feature_shape"])
        self.directory = directory
        self.features: NDArray[Any] = np.memmap(directory / "features.bin", about["dtype"], "r", shape=shape)
        self.unreadable = np.fromfile(directory / "state.bin", np.uint8) == UNREADABLE

    @property
    def num_bytes(self) -> int:
        """Size of the features."""
        return int(self.features.nbytes)

    def tensor(self, place: str) -> Tensor:
        """All features as one tensor: mapped from disk, or copied to `ram` or `gpu`."""
        if place == "disk":
            # torch wants a writable array; a private mapping is one, and nobody writes to it
            mapped = np.memmap(self.directory / "features.bin", self.features.dtype, "c", shape=self.features.shape)
            return torch.from_numpy(mapped)
        tensor = torch.from_numpy(np.array(self.features))
        return tensor.cuda() if place == "gpu" else tensor


def open_or_build(
    root: Path,
    request: StoreRequest,
    make_encoder: Callable[[], PictureEncoder],
    batch_size: int,
    num_workers: int,
) -> FeatureStore:
    """The store for a request, built first where it is not complete. All ranks of a run must ask.

    Args:
        root: folder of all stores.
        request: the pictures and what decides their features.
        make_encoder: builds the encoder; called only when there is work.
        batch_size: pictures per call of that function.
        num_workers: processes that decode pictures.

    Raises:
        StoreError: the disk is too small.
    """
    directory = root / f"{request.name}-{request.key()}"
    if broadcast(not (directory / "complete").is_file()):
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory) if is_rank_zero() else nullcontext():
            if broadcast(not (directory / "complete").is_file()):
                _build(directory, request, make_encoder(), batch_size, num_workers)
    if not (directory / "complete").is_file():
        raise StoreError(f"{directory} cannot be seen here; set cache=DIR to a folder that all machines share")
    return FeatureStore(directory)


def _locked(directory: Path) -> FileLock:
    lock = FileLock(directory / "lock")
    try:
        lock.acquire(timeout=0)
        lock.release()
    except Timeout:
        print(f"waiting for the process that builds {directory}", flush=True)
    return lock


def _build(directory: Path, request: StoreRequest, encoder: PictureEncoder, batch_size: int, num_workers: int) -> None:
    with rank_zero_first():
        if is_rank_zero():
            remove_stale_temporaries(directory)
            _prepare(directory, request, encoder.feature_shape)
    state, features = _mapped(directory, request, encoder.feature_shape)
    waiting = broadcast(np.flatnonzero(state == WAITING))
    progress = Progress(f"encoding {request.name}", request.rows, "pictures", start=len(state) - len(waiting))
    for rows, pixels, unreadable in _decoded(request, _own_rows(waiting, batch_size), batch_size, num_workers):
        if len(rows):
            features[rows] = as_stored(encoder(pixels), request.dtype)
            state[rows] = STORED
        state[unreadable] = UNREADABLE
        if is_rank_zero():
            progress.reach(int(np.count_nonzero(state != WAITING)))  # the other ranks' too: the file is shared
    features.flush()
    state.flush()
    all_gather(None)
    if is_rank_zero():
        progress.reach(len(state))
        progress.close()
        with atomic_write(directory / "complete") as file:
            file.write(b"")
    broadcast(None)


def _own_rows(waiting: NDArray[np.int64], batch_size: int) -> NDArray[np.int64]:
    """What this rank encodes: the batches of a single process, in turn."""
    ranks = get_ranks()
    batches = [waiting[start : start + batch_size] for start in range(0, len(waiting), batch_size)]
    own = batches[ranks.rank :: ranks.local_size] if ranks.rank < ranks.local_size else []
    return np.concatenate([waiting[:0], *own])


def as_stored(answer: Tensor, dtype: str) -> NDArray[Any]:
    """The answer on the CPU in the type of the file; refused where numbers do not fit."""
    stored = answer.to("cpu", dtype=getattr(torch, dtype))
    if not torch.isfinite(stored).all():
        what = "is not finite" if not torch.isfinite(answer).all() else f"is too large for {dtype}"
        raise StoreError(f"what the encoder says about a picture {what}; use features.dtype=float32 or other weights")
    return stored.numpy()


def _prepare(directory: Path, request: StoreRequest, feature_shape: tuple[int, ...]) -> None:
    """Makes the two files at their full size, so that a disk that is too small is noticed now, and describes them."""
    path = directory / "features.bin"
    size = request.rows * int(np.prod(feature_shape)) * np.dtype(request.dtype).itemsize
    present = path.stat().st_size if path.is_file() else 0
    if present != size:
        free = shutil.disk_usage(directory).free
        if free < size - present:
            raise StoreError(
                f"{directory}: the features need {size / 1e9:.2f} GB and {free / 1e9:.2f} GB are free; make room, "
                "set cache=DIR to another disk, or train from pictures with features=off"
            )
        with atomic_write(directory / "state.bin") as file:  # first: a kill between the two makes both again
            file.write(bytes(request.rows))
        try:
            with path.open("ab") as file:
                file.truncate(size)
                # takes the room now: a full disk would otherwise kill the process in the middle, by SIGBUS
                if hasattr(os, "posix_fallocate"):  # macOS has none
                    os.posix_fallocate(file.fileno(), 0, max(size, 1))
        except OSError as error:
            path.unlink(missing_ok=True)
            raise StoreError(
                f"{directory}: cannot set aside {size / 1e9:.2f} GB for the features ({error.strerror}); make room, "
                "set cache=DIR to another disk, or train from pictures with features=off"
            ) from None
    _describe(directory, request, feature_shape)


def _mapped(directory: Path, request: StoreRequest, feature_shape: tuple[int, ...]) -> tuple[Any, Any]:
    """The two files, as arrays that ranks of one machine share."""
    count = request.rows
    state = np.memmap(directory / "state.bin", np.uint8, "r+", shape=(count,))
    return state, np.memmap(directory / "features.bin", request.dtype, "r+", shape=(count, *feature_shape))


def _describe(directory: Path, request: StoreRequest, feature_shape: tuple[int, ...]) -> None:
    about = {
        "name": request.name,
        "pictures": request.rows,
        "encoder": request.encoder,
        "transform": asdict(request.transform),
        "feature_shape": list(feature_shape),
        "dtype": request.dtype,
        "made": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    with atomic_write(directory / "about.json") as file:
        file.write(json.dumps(about, indent=1).encode())


class _Pictures(Dataset[tuple[int, Tensor | None]]):
    """Decodes one picture; None where it cannot be read."""

    def __init__(self, request: StoreRequest, rows: NDArray[np.int64]) -> None:
        self.request = request
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> tuple[int, Tensor | None]:
        row = int(self.rows[i])
        try:
            note_reading(self.request.path(row))
            return row, self.request.load(row)
        except PictureError:
            return row, None
        finally:
            note_done()


def _collate(items: list[tuple[int, Tensor | None]]) -> tuple[list[int], Tensor, list[int]]:
    pixels = [pixels for _, pixels in items if pixels is not None]
    rows = [row for row, pixels in items if pixels is not None]
    unreadable = [row for row, pixels in items if pixels is None]
    return rows, torch.stack(pixels) if pixels else torch.empty(0), unreadable


def _decoded(
    request: StoreRequest, rows: NDArray[np.int64], batch_size: int, num_workers: int
) -> Iterator[tuple[list[int], Tensor, list[int]]]:
    # one worker process per core would fight with the encoder for the cores; small jobs need none
    workers = min(num_workers, len(rows) // (4 * batch_size))
    dataset = _Pictures(request, rows)
    if workers == 0:
        return iter(DataLoader(dataset, batch_size, collate_fn=_collate))
    return watched(dataset, batch_size=batch_size, num_workers=workers, collate_fn=_collate)
