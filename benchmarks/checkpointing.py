"""What reliability costs: checking, saving and loading a checkpoint, and the callbacks' time per step.

PYTHONPATH=src:. python benchmarks/checkpointing.py
"""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from machine import at_most
from tests.checkpointing.toy import Settings, train

from showtell.checkpointing import archive, io
from showtell.checkpointing.finite import FiniteLoss
from showtell.checkpointing.last import LastCheckpoint
from showtell.checkpointing.stop import GracefulStop

HOOKS = ("on_train_batch_start", "on_before_backward", "on_before_optimizer_step", "on_train_batch_end")


def milliseconds(work: Callable[[], Any], rounds: int = 5) -> float:
    """The best of a few rounds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def files(directory: Path) -> None:
    """A checkpoint of 100 MB with a vocabulary of 10,000 words."""
    content = {
        "global_step": 1,
        "state_dict": {f"w{number}": torch.randn(1_250_000) for number in range(20)},
        "showtell": {"vocabulary": [f"word{number}" for number in range(10_000)]},
    }
    path, plain = directory / "a.ckpt", directory / "plain.pt"
    io.save_checkpoint(content, path)
    size = os.path.getsize(path) / 1e6

    def check() -> None:
        with archive.open_local(path) as file:
            archive.check_bytes(file, path.name)

    at_most("check of a checkpoint", round(milliseconds(check) / size, 2), 1.0, "ms per MB")
    print(f"save_checkpoint     {milliseconds(lambda: io.save_checkpoint(content, path), 3):8.0f} ms")
    print(f"torch.save          {milliseconds(lambda: torch.save(content, plain), 3):8.0f} ms")
    print(f"load_checkpoint     {milliseconds(lambda: io.load_checkpoint(path)):8.0f} ms")
    print(f"torch.load          {milliseconds(lambda: torch.load(path, weights_only=True)):8.0f} ms")


def steps(directory: Path) -> None:
    """The callbacks' median time per step, with nothing to write."""
    total = 0.0
    for kind in (FiniteLoss, GracefulStop, LastCheckpoint):
        for name in HOOKS:
            if name in vars(kind):
                total += timed(kind, name, directory / f"{kind.__name__}.{name}")
    print(f"callbacks per step  {1000 * total:8.3f} ms")


def timed(kind: type, name: str, directory: Path) -> float:
    """The median time in seconds of one hook in a real run."""
    original, times = getattr(kind, name), []

    def wrapped(*args: Any) -> None:
        start = time.perf_counter()
        original(*args)
        times.append(time.perf_counter() - start)

    setattr(kind, name, wrapped)
    try:
        train(directory, Settings(epochs=20, every_steps=0, val_batches=0))
    finally:
        setattr(kind, name, original)
    return statistics.median(times)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with TemporaryDirectory() as name:
        files(Path(name))
        steps(Path(name))
