"""Loader processes that are watched, one that dies or hangs ends the run with the name of the picture.

PyTorch waits for a hung worker for ever, and of a dead one it tells the process id. Here each worker notes the path of
the picture that it is about to read in memory shared with the trainer. A worker ignores the signals that stop a run:
under a terminal or SLURM they reach every process of the group, and the trainer still needs its next batches to end the
step. It is killed when its loader is done with it.
"""

import signal
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import RawArray
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import signal_handling

from showtell.data.paths import shown
from showtell.errors import UserError
from showtell.processes import SIGNALS

TIMEOUT_SECONDS = 300
_SLOT, _CLOCK = 1024, 20
_slot: Any = None


class WorkerError(UserError):
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
    """What `DataLoader(dataset, num_workers=..., **options)` gives; the data set calls `note_reading`.

    Raises:
        WorkerError: a worker died, hung, or met a picture that cannot be read.
    """
    signal_handling._SIGCHLD_handler_set = True  # PyTorch's raises anywhere; `_Watch` has one of its own
    slots = [RawArray("c", _SLOT) for _ in range(num_workers)]
    start = partial(_start, slots)
    with warnings.catch_warnings():
        # on a single core, too, workers read while training computes
        warnings.filterwarnings("ignore", "This DataLoader will create")
        loader: DataLoader[Any] = DataLoader(
            dataset, num_workers=num_workers, timeout=TIMEOUT_SECONDS, worker_init_fn=start, **options
        )
        iterator = iter(loader)
    return _items(iterator, slots)


def _start(slots: list[Any], number: int) -> None:
    global _slot
    _slot = slots[number]
    for name in SIGNALS:
        signal.signal(name, signal.SIG_IGN)


def _items(iterator: Any, slots: list[Any]) -> Iterator[Any]:
    watch = _Watch(slots, iterator._workers)
    try:
        while True:
            with watch:
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
    except UserError as error:
        if not str(error).startswith("Caught "):
            raise
        raise WorkerError(str(error).splitlines()[-1].partition("Error: ")[2] or str(error)) from None
    except RuntimeError as error:
        if not str(error).startswith(("DataLoader worker", "DataLoader timed out")):
            raise
        raise watch.explained() from None
    finally:
        iterator._shutdown_workers()
        for worker in iterator._workers:  # who does not hear of the end ignores SIGTERM too, and would be waited for
            worker.kill()


@dataclass(frozen=True)
class _Watch:
    """A context in which the trainer waits for a batch: the death of a worker ends it at once.

    PyTorch's own handler raises wherever the trainer happens to be, also amid the optimizer's step.
    """

    slots: list[Any]
    workers: list[Any]

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, self._child_ended)
        self._child_ended()

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def _child_ended(self, *_: object) -> None:
        if any(worker.exitcode for worker in self.workers):
            raise self.explained()

    def explained(self) -> WorkerError:
        """The error in words; ends all workers, one of which may hang."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        dead = [(slot, worker) for slot, worker in zip(self.slots, self.workers, strict=True) if worker.exitcode]
        error = _explained([slot for slot, _ in dead] or self.slots, dead[0][1].exitcode if dead else None)
        for worker in self.workers:
            worker.kill()
        return error


def _explained(slots: list[Any], code: int | None) -> WorkerError:
    notes = sorted(slot.raw.rstrip(b"\0") for slot in slots)  # they begin with a time: the oldest first
    paths = [note[_CLOCK:].decode("utf-8", "surrogateescape") for note in notes if note]
    picture = f"reading {shown(paths[0])}" if paths else "between two pictures"
    if code is None:
        return WorkerError(f"a loader process is stuck {picture}, for {TIMEOUT_SECONDS} s; mend or remove that picture")
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    return WorkerError(
        f"a loader process died {how} {picture}; look at that picture, and at memory (data.num_workers=0 needs less)"
    )
