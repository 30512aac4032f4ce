"""The processes of one run: which of them this is, and what they tell one another.

All ranks exist from the beginning (`launching` says why), and join one process group before anything is read, so that
whatever is made once can be made by rank 0 while the others wait. Two groups connect them. The default one carries
training; its collectives time out after `device.timeout_seconds`. The patient one carries what may take hours, like
waiting for another run that builds the same feature store; whether a rank is still alive is then the launcher's
business. In a single process everything here does nothing, and torch's distributed package is not touched.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

RENDEZVOUS = "SHOWTELL_RENDEZVOUS"
_PATIENCE = timedelta(days=7)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Ranks:
    """Which process of a run this is: `rank` of `size`, and `local_rank` of the `local_size` on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1


_present = Ranks()
_patient: Any = None


def ranks_of_environment() -> Ranks | None:
    """What torchrun, or our own launcher, says in the environment; None if neither started this process."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    values = [os.environ.get(name, "") for name in names]
    return Ranks(*map(int, values)) if all(value.isdigit() for value in values) else None


def get_ranks() -> Ranks:
    """The ranks that have joined; a run of its own otherwise."""
    return _present


def is_rank_zero() -> bool:
    """Whether this process is the one that prints, logs and writes."""
    return _present.rank == 0


@contextmanager
def process_group(ranks: Ranks, accelerator: str, timeout_seconds: int) -> Iterator[None]:
    """A block in which the ranks are connected.

    Tensors on GPUs travel by nccl unless `device.accelerator` is `cpu`; a collective of training waits no longer than
    `timeout_seconds`.
    """
    global _present, _patient
    import torch
    import torch.distributed as dist

    backend = "gloo"
    if accelerator != "cpu" and torch.cuda.is_available():
        torch.cuda.set_device(min(ranks.local_rank, torch.cuda.device_count() - 1))  # too few are an error later
        backend = "cpu:gloo,cuda:nccl"
    place = os.environ.get(RENDEZVOUS)
    timeout = timedelta(seconds=timeout_seconds)
    dist.init_process_group(
        backend, f"file://{place}" if place else "env://", rank=ranks.rank, world_size=ranks.size, timeout=timeout
    )
    _present, _patient = ranks, dist.new_group(backend="gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        _present, _patient = Ranks(), None
    dist.destroy_process_group()  # not after an error: the others may be in the middle of something


def broadcast(value: _T) -> _T:
    """Rank 0's value, on all ranks; every rank must ask."""
    if _present.size == 1:
        return value
    import torch.distributed as dist

    values = [value]
    dist.broadcast_object_list(values, src=0, group=_patient)
    return values[0]


def all_gather(value: _T) -> list[_T]:
    """Everybody's value in the order of ranks, on all ranks; every rank must ask."""
    if _present.size == 1:
        return [value]
    import torch.distributed as dist

    values: list[Any] = [None] * _present.size
    dist.all_gather_object(values, value, group=_patient)
    return values


@contextmanager
def rank_zero_first() -> Iterator[None]:
    """A block that rank 0 runs alone; the others follow, and find done what is done once.

    When rank 0 fails in it, the others never enter: its process ends, and with it their connection.
    """
    if not is_rank_zero():
        broadcast(None)
    yield
    if is_rank_zero():
        broadcast(None)
