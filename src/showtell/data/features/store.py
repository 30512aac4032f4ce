"""The feature store: what the frozen encoder says about every picture of a data set, on disk, once.

A store is a folder named by a hash of everything its numbers follow from (encoder, weights, transform, precision,
list of pictures with their sizes and times), so a change of any of them is another store and nothing is ever stale.
In it:

- `features.bin`: one row per picture, raw, as `features.dtype` says, memory-mapped;
- `state.bin`: one byte per picture (waiting, stored, unreadable), written after the row, so that a killed build goes
  on;
- `sums.bin`: a checksum per row, compared when the store is opened: what is damaged is stored anew (`rows`);
- `about.json`: what it was made from, for people and for `python -m showtell.data stores`;
- `complete`: written last. Without it a store is used for the rows alone that a run asked to have filled: two steps of
  `debug=fast` need a few pictures, and a later run goes on from there.

A store of views has several rows per picture: it was changed at random before the encoder saw it, in a way that
belongs to the key too.

One run builds under a file lock, others wait for it. The lock dies with its holder. The ranks of a run build together:
batches are those of a single process, so that every bit is the same, and go round in turn. Ranks of further machines
wait, because two machines that map one file over a network would overwrite each other's neighbouring rows.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor

from showtell.config import ConfigError
from showtell.data.features.dtypes import DTYPES, StoreError
from showtell.data.features.encoding import PictureEncoder, encoded
from showtell.data.features.request import StoreRequest
from showtell.data.features.room import no_room, present, room_in_words
from showtell.data.features.rows import (
    ABOUT,
    COMPLETE,
    FEATURES,
    STATE,
    UNREADABLE,
    WAITING,
    StoreRows,
    adopt,
    is_ready,
    make_sizes,
    mend,
    read_about,
    write_about,
)
from showtell.data.loading import cut
from showtell.distributed import all_gather, broadcast, get_ranks, is_rank_zero, rank_zero_first
from showtell.files import size, write_text_atomically
from showtell.temporaries import remove_stale_temporaries
from showtell.terminal import Progress


class FeatureStore:
    """A store: `features` `(P, ...)` memory-mapped, as its `dtype` writes them, and `unreadable` `(P,)` bool."""

    def __init__(self, directory: Path) -> None:
        about = json.loads((directory / ABOUT).read_text(encoding="utf-8"))
        self.directory = directory
        self.dtype = DTYPES[about["dtype"]]
        shape = (about["pictures"], *self.dtype.stored_shape(tuple(about["feature_shape"])))
        # torch wants a writable array; a private mapping is one, and nobody writes to it
        self.features: NDArray[Any] = np.memmap(directory / FEATURES, self.dtype.file, "c", shape=shape)
        self.unreadable: NDArray[np.bool_] = np.fromfile(directory / STATE, np.uint8) == UNREADABLE


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
    root: Path,
    request: StoreRequest,
    make_encoder: Callable[[], PictureEncoder],
    batch_size: int,
    num_workers: int,
    pictures: NDArray[np.int64] | None = None,
) -> FeatureStore:
    """The store for a request, built first where it is not complete. All ranks of a run must ask.

    Args:
        root: the folder of all stores.
        request: what is stored.
        make_encoder: makes the encoder, when there is work.
        batch_size: pictures that it sees at once.
        num_workers: processes that decode.
        pictures: those that are needed; rows of others may stay empty, for a later run to fill. None: all.

    Raises:
        StoreError: the disk is too small.
    """
    directory = request.directory(root)
    if broadcast(is_rank_zero() and not is_complete(directory, request, pictures)):
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory) if is_rank_zero() else nullcontext():
            if is_rank_zero():
                adopt(directory, request)
            if broadcast(is_rank_zero() and not is_complete(directory, request, pictures)):
                _build(directory, request, make_encoder(), batch_size, num_workers, pictures)
    if not (directory / ABOUT).is_file():
        raise StoreError(f"{directory} cannot be seen here; set cache=DIR to a folder that all machines share")
    return FeatureStore(directory)


def stored_shape(root: Path, request: StoreRequest) -> tuple[int, ...] | None:
    """The shape of a feature by what a store says that was begun; None where there is none."""
    about = read_about(request.directory(root), request)
    return None if about is None else tuple(about["feature_shape"])


def _locked(directory: Path) -> FileLock:
    lock = FileLock(directory / "lock")
    try:
        lock.acquire(timeout=0)
        lock.release()
    except Timeout:
        print(f"waiting for the process that builds {directory}", flush=True)
    return lock


def is_complete(directory: Path, request: StoreRequest, pictures: NDArray[np.int64] | None = None) -> bool:
    """Whether the rows of these pictures are there and as they were written; None: all, and the marker is there."""
    marked = pictures is not None or (directory / COMPLETE).is_file()
    return marked and is_ready(directory, request, request.rows_of(pictures))


def _build(
    directory: Path,
    request: StoreRequest,
    encoder: PictureEncoder,
    batch_size: int,
    num_workers: int,
    pictures: NDArray[np.int64] | None,
) -> None:
    wanted = request.rows_of(pictures)
    with rank_zero_first():
        request.contents_of(wanted)
        if is_rank_zero():
            remove_stale_temporaries(directory)
            _prepare(directory, request, encoder.feature_shape)
    # arrays that ranks of one machine share
    stored = StoreRows.opened(directory, request, encoder.feature_shape, "r+")
    state = stored.state
    waiting = broadcast(wanted[state[wanted] == WAITING])
    ranks, done = get_ranks(), len(wanted) - len(waiting)
    # the batches of a single process, in turn
    turn = slice(ranks.rank, None, ranks.local_size) if ranks.rank < ranks.local_size else slice(0)
    own = np.concatenate([waiting[:0], *cut(waiting, batch_size)[turn]])
    with Progress(f"encoding {request.name}", len(wanted), "pictures", done, shown=is_rank_zero()) as progress:
        load, transform = request.load, request.transform
        for rows, answers, unreadable in encoded(load, transform, own, encoder, request.dtype, batch_size, num_workers):
            stored.write(rows, answers, list(unreadable))
            # the other ranks' too: the file is shared
            progress.reach(int(np.count_nonzero(state[wanted] != WAITING)))
        stored.flush()
        all_gather(None)
        progress.reach(len(wanted))
    if is_rank_zero() and not (state == WAITING).any():
        write_text_atomically(directory / COMPLETE, "")
    broadcast(None)


def _prepare(directory: Path, request: StoreRequest, feature_shape: tuple[int, ...]) -> None:
    """Makes the files at their full size, so that a disk that is too small is noticed now, and mends them."""
    path, needed = directory / FEATURES, request.num_bytes(feature_shape)
    if present(directory) != needed:
        room_in_words(directory.parent, [([request], feature_shape)])
    faults = list(make_sizes(directory, request, feature_shape))
    if present(directory) != needed:
        try:
            with path.open("ab") as file:
                file.truncate(needed)
                # takes the room now: a full disk would otherwise kill the process in the middle, by SIGBUS
                if hasattr(os, "posix_fallocate"):  # macOS has none
                    os.posix_fallocate(file.fileno(), 0, max(needed, 1))
        except OSError as error:
            path.unlink(missing_ok=True)
            what = f"cannot set aside {size(needed)} for the features ({error.strerror})"
            raise no_room(directory, what) from None
    about = read_about(directory, request)
    if about is None and (directory / ABOUT).exists():
        faults.append(f"{ABOUT} is damaged, or another store's")
    if about is None or about["feature_shape"] != list(feature_shape):
        write_about(directory, request, feature_shape, time.strftime("%Y-%m-%d %H:%M:%S"))
    complete = (directory / COMPLETE).is_file()
    (directory / COMPLETE).unlink(missing_ok=True)
    mend(StoreRows.opened(directory, request, feature_shape, "r+"), faults, complete=complete)
