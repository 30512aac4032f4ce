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
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor

from showtell.config import ConfigError, ImageTransform
from showtell.data.augmentation import Augmentation
from showtell.data.caption_set import CaptionSet
from showtell.data.encoding import PictureEncoder, StoreError, encoded
from showtell.data.images import load_picture, read_picture
from showtell.data.loading import cut
from showtell.data.paths import stamp
from showtell.data.workers import Progress, note_reading
from showtell.distributed import all_gather, broadcast, get_ranks, is_rank_zero, rank_zero_first
from showtell.files import atomic_write, remove_stale_temporaries, short_hash, write_text_atomically

WAITING, STORED, UNREADABLE = 0, 1, 2


def store_label(data: str, split: str, encoder: str) -> str:
    """How a store's folder begins: for people, so `timm/name` is one word."""
    return f"{data}-{split}-{encoder.replace('/', '-')}"


@dataclass(frozen=True)
class StoreRequest:
    """What is to be stored: pictures, in order, and what decides their features.

    `encoder` is the encoder's fingerprint: weights, pooling, precision. With an `augmentation`, row `v * P + p` of the
    store is view `v` of picture `p` of P. `stamps` are the pictures', where somebody has asked already.
    """

    name: str
    paths: Sequence[str | Path]
    encoder: str
    transform: ImageTransform
    dtype: str
    augmentation: Augmentation | None = None
    views: int = 1
    stamps: Sequence[str] | None = None

    @property
    def rows(self) -> int:
        """How many answers are stored."""
        return len(self.paths) * self.views

    def load(self, row: int) -> Tensor:
        """The pixels `(3, S, S)` that the encoder sees for a row.

        Raises:
            PictureError: it cannot be read.
        """
        view, picture = divmod(row, len(self.paths))
        path = self.paths[picture]
        note_reading(path)
        if self.augmentation is None:
            return load_picture(path, self.transform)
        return self.augmentation(read_picture(path), self.transform, view, picture)

    def key(self) -> str:
        """The hash that names the store. Opens no picture; asks each for its stamp where `stamps` does not say them."""
        facts: list[Any] = [self.encoder, self.transform.facts(), self.dtype]
        if self.augmentation is not None:
            facts += [self.views, self.augmentation.identity()]
        stamps = map(stamp, self.paths) if self.stamps is None else self.stamps
        told = (f"{path}\0{found}\n" for path, found in zip(self.paths, stamps, strict=True))
        return short_hash([json.dumps(facts, sort_keys=True), *told])


class FeatureStore:
    """A complete store: `features` `(P, *feature_shape)` memory-mapped, `unreadable` `(P,)` bool."""

    def __init__(self, directory: Path) -> None:
        about = json.loads((directory / "about.json").read_text())
        shape = (about["pictures"], *about["feature_shape"])
        self.directory = directory
        # torch wants a writable array; a private mapping is one, and nobody writes to it
        self.features: NDArray[Any] = np.memmap(directory / "features.bin", about["dtype"], "c", shape=shape)
        self.unreadable: NDArray[np.bool_] = np.fromfile(directory / "state.bin", np.uint8) == UNREADABLE


def choose_place(place: str, num_bytes: int, device: torch.device) -> str:
    """Where features lie during training: on the GPU or in RAM when they fit easily, else mapped from disk."""
    if place == "gpu" and device.type != "cuda":
        raise ConfigError("features.place=gpu needs device=gpu; use features.place=auto")
    if place != "auto":
        return place
    if device.type == "cuda" and num_bytes < 0.4 * torch.cuda.mem_get_info()[0]:
        return "gpu"
    return "ram" if num_bytes < 2**30 else "disk"


def place_features(mapped: NDArray[Any], place: str) -> Tensor:
    """Features of a file that is mapped copy-on-write as one tensor: as they are, or copied to `ram` or `gpu`."""
    tensor = torch.from_numpy(mapped if place == "disk" else np.array(mapped))
    return tensor.cuda() if place == "gpu" else tensor


def open_or_build(
    root: Path, request: StoreRequest, make_encoder: Callable[[], PictureEncoder], batch_size: int, num_workers: int
) -> FeatureStore:
    """The store for a request, built first where it is not complete. All ranks of a run must ask.

    `root` is the folder of all stores. The encoder is made only when there is work; it sees `batch_size` pictures at
    once, `num_workers` processes decode.

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
    # arrays that ranks of one machine share
    state = np.memmap(directory / "state.bin", np.uint8, "r+", shape=(request.rows,))
    shape = (request.rows, *encoder.feature_shape)
    features = np.memmap(directory / "features.bin", request.dtype, "r+", shape=shape)
    waiting = broadcast(np.flatnonzero(state == WAITING))
    ranks, done = get_ranks(), len(state) - len(waiting)
    # the batches of a single process, in turn
    turn = slice(ranks.rank, None, ranks.local_size) if ranks.rank < ranks.local_size else slice(0)
    own = np.concatenate([waiting[:0], *cut(waiting, batch_size)[turn]])
    with Progress(f"encoding {request.name}", request.rows, "pictures", done, shown=is_rank_zero()) as progress:
        for rows, answers, unreadable in encoded(request.load, own, encoder, request.dtype, batch_size, num_workers):
            if rows:
                features[rows] = answers
                state[rows] = STORED
            state[list(unreadable)] = UNREADABLE
            progress.reach(int(np.count_nonzero(state != WAITING)))  # the other ranks' too: the file is shared
        features.flush()
        state.flush()
        all_gather(None)
        progress.reach(len(state))
    if is_rank_zero():
        write_text_atomically(directory / "complete", "")
    broadcast(None)


def _prepare(directory: Path, request: StoreRequest, feature_shape: tuple[int, ...]) -> None:
    """Makes the two files at their full size, so that a disk that is too small is noticed now, and describes them."""
    path = directory / "features.bin"
    size = request.rows * int(np.prod(feature_shape)) * np.dtype(request.dtype).itemsize
    present = path.stat().st_size if path.is_file() else 0
    if present != size:
        free = shutil.disk_usage(directory).free
        if free < size - present:
            raise _no_room(directory, f"the features need {size / 1e9:.2f} GB and {free / 1e9:.2f} GB are free")
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
            what = f"cannot set aside {size / 1e9:.2f} GB for the features ({error.strerror})"
            raise _no_room(directory, what) from None
    about = {
        "name": request.name,
        "pictures": request.rows,
        "encoder": request.encoder,
        "transform": request.transform.facts(),
        "feature_shape": list(feature_shape),
        "dtype": request.dtype,
        "made": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    write_text_atomically(directory / "about.json", json.dumps(about, indent=1))


def _no_room(directory: Path, what: str) -> StoreError:
    remedy = "make room, set cache=DIR to another disk, or train from pictures with features=off"
    return StoreError(f"{directory}: {what}; {remedy}")


class _Nothing:
    feature_shape: tuple[int, ...] = (1,)

    def __call__(self, pixels: Tensor, /) -> Tensor:
        return torch.zeros(len(pixels), 1)


def unreadable_pictures(
    name: str, captions: CaptionSet, transform: ImageTransform, cache: Path, num_workers: int
) -> NDArray[np.bool_]:
    """`(P,)` True for each picture that cannot be decoded, for runs that decode them in every step.

    Every picture is decoded once ahead of training, so that a broken file costs a line at the start and not a crash in
    the third epoch. The answer is kept as a store of one meaningless number per picture.
    """
    paths, stamps = captions.path_names, captions.stamps
    request = StoreRequest(f"{name}-readable", paths, "none", transform, "float16", stamps=stamps)
    store = open_or_build(cache / "features", request, _Nothing, batch_size=32, num_workers=num_workers)
    return store.unreadable


@dataclass(frozen=True)
class StoreFacts:
    """What is known about a store without opening its features; `key` is the end of its folder's name."""

    directory: Path
    pictures: int
    num_bytes: int
    made: str
    complete: bool

    @classmethod
    def of(cls, directory: Path) -> "StoreFacts":
        """What a folder says of itself."""
        about = json.loads((directory / "about.json").read_text(encoding="utf-8"))
        features = directory / "features.bin"
        size = features.stat().st_size if features.is_file() else 0
        return cls(directory, about["pictures"], size, about["made"], (directory / "complete").is_file())

    @property
    def key(self) -> str:
        """The hash that tells the store from others."""
        return self.directory.name.rpartition("-")[2]


def list_stores(cache: Path) -> list[StoreFacts]:
    """The stores under `cache/features`, by name; folders that are none are passed over."""
    return [StoreFacts.of(file.parent) for file in sorted((cache / "features").glob("*/about.json"))]


def delete_store(store: StoreFacts) -> bool:
    """Deletes a store, renamed first so that a run never finds half of one; False if a process is building it."""
    doomed = store.directory.with_name(f"deleted-{store.directory.name}")
    try:
        with FileLock(store.directory / "lock", timeout=0):
            store.directory.rename(doomed)
    except Timeout:
        return False
    shutil.rmtree(doomed)
    return True
