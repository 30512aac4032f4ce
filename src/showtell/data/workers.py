"""Loader processes that are watched: one that dies or hangs ends the run with the name of the picture it was reading.

PyTorch waits for a hung worker for ever, and of a dead one it tells the process id. Here each worker notes the path of the picture that
it is about to read in memory shared with the trainer. A worker ignores the signals that stop a run: under a terminal or SLURM they reach
every process of the group, and the trainer still needs its next batches to end the step. It is killed when its loader is done with it.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import RawArray
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset

from showtell.data.files import shown
from showtell.data.images import PictureError

TIMEOUT_SECONDS = 300
_COMPLAINTS = ("DataLoader worker", "DataLoader timed out")
_SLOT, _CLOCK = 1024, 20
_slot: Any = None
_watching: dict[int, tuple[list[Any], list[Any]]] = {}
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class WorkerError(ValueError):
    """A loader process died, hung or met a broken picture; one line names the picture."""


def note_reading(path: str | Path) -> None:
    """Tells the trainer, if this is a worker, which picture is about to be read."""
    if _slot is not None:
        text = str(path).encode("utf-8", "surrogateescape")[: _SLOT - _CLOCK]
        _slot.raw = (b"%0*d%s" % (_CLOCK, time.monotonic_ns(), text)).ljust(_SLOT, b"\0")


def note_done() -> None:
    """Tells the trainer, if this is a worker, that nothing is being read."""
    if _slot is not None:
        _slot.raw = bytes(_SLOT)


def watched(dataset: Dataset[Any], *, num_workers: int, **options: Any) -> Iterator[Any]:
    """What `DataLoader(dataset, num_workers=..., **options)` gives; call it within `pictures_named`.

    Args:
        dataset: calls `note_reading` before it reads a picture.
        num_workers: at least 1.
        options: of the loader.

    Raises:
        WorkerError: a worker died, hung, or met a picture that cannot be read.
    """
    slots = [RawArray("c", _SLOT) for _ in range(num_workers)]
    start = partial(_start, slots)
    loader: DataLoader[Any] = DataLoader(
        dataset, num_workers=num_workers, timeout=TIMEOUT_SECONDS, worker_init_fn=start, **options
    )
    return _items(iter(loader), slots)


@contextmanager
def pictures_named() -> Iterator[None]:
    """Turns PyTorch's complaint about a dead worker, which can be raised anywhere, into a `WorkerError`."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith(_COMPLAINTS):
            raise
        known = error.__context__
        raise known if isinstance(known, WorkerError) else _explained(str(error), list(_watching.values())) from None


def _start(slots: list[Any], number: int) -> None:
    global _slot
    _slot = slots[number]
    for name in _SIGNALS:
        signal.signal(name, signal.SIG_IGN)


def _items(iterator: Any, slots: list[Any]) -> Iterator[Any]:
    workers = iterator._workers
    _watching[id(slots)] = slots, workers
    try:
        yield from iterator
    except PictureError as error:
        raise WorkerError(str(error).splitlines()[-1].partition("PictureError: ")[2] or str(error)) from None
    except RuntimeError as error:
        if not str(error).startswith(_COMPLAINTS):
            raise
        explained = _explained(str(error), [(slots, workers)])
        for worker in workers:
            worker.kill()
        raise explained from None
    finally:
        with suppress(RuntimeError):  # PyTorch complains of each dead worker anew
            iterator._shutdown_workers()
        for worker in workers:
            if worker.is_alive():  # it hangs
                worker.kill()
        del _watching[id(slots)]


def _explained(message: str, watched: list[tuple[list[Any], list[Any]]]) -> WorkerError:
    all_workers = [(slot, worker) for slots, workers in watched for slot, worker in zip(slots, workers, strict=True)]
    dead = [(slot, worker.exitcode) for slot, worker in all_workers if worker.exitcode]
    notes = sorted(slot.raw.rstrip(b"\0") for slot, _ in (dead or all_workers))
    paths = [note[_CLOCK:].decode("utf-8", "surrogateescape") for note in notes if note]
    picture = f"reading {shown(paths[0])}" if paths else "between two pictures"
    if message.startswith("DataLoader timed out"):
        return WorkerError(f"a loader process is stuck {picture}, for {TIMEOUT_SECONDS} s; mend or remove that picture")
    code = dead[0][1] if dead else 0
    how = f" by signal {-code}" if code < 0 else f" with code {code}" if code else ""
    return WorkerError(
        f"a loader process died{how} {picture}; look at that picture, and at memory (data.num_workers=0 needs less)"
    )
