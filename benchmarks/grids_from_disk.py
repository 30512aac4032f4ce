"""Figure: captions per second of training on grids that lie on disk, over the same with the grids in memory.

    PYTHONPATH=src python benchmarks/grids_from_disk.py [--pictures 30000]

A file of as many grids (49 x 1,280 in float16, 125 KB each; COCO's 118,000 pictures make 14.8 GB of them) is written,
put out of the system's cache, and mapped as a store of `features.place=disk` is. Batches are 100 pictures at random,
none of which comes twice, so every read goes to the disk, as in an epoch of data that are larger than memory. Between
two batches the process sleeps as long as a step of the soft attention decoder (512, one thread) takes of CPU time, and
the system reads ahead what was announced. Waiting for a batch is timed by the clock: beside other work it is too long.
Without steps, as beside a GPU that is faster than any disk, captions per second are those that the disk gives; then
the same without announcing, as the system reads by itself.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from decoder_speed import B, seconds, training_step
from machine import at_least
from torch import Tensor

from showtell.data.augmentation import Rows
from showtell.data.features.ahead import ReadAhead
from showtell.data.features.store import place_features
from showtell.data.loading import announced

GRID, PORTION, BATCHES = (49, 1280), 500, 40


def write(path: Path, pictures: int) -> None:
    """Grids of noise, on the disk and in no cache."""
    noise = np.random.default_rng(0).standard_normal((PORTION, *GRID)).astype(np.float16)
    with path.open("wb") as file:
        for _ in range(0, pictures, PORTION):
            noise.tofile(file)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def waiting(grids: Tensor, batches: Tensor, announce: Callable[[Rows], int] = lambda _: 0, step: float = 0) -> float:
    """Seconds by the clock in which a batch is there as float32, with `step` seconds between two of them."""
    began = time.perf_counter()
    for rows in announced(batches.numpy(), announce):
        grids[torch.from_numpy(rows)].float()
        time.sleep(step)
    return (time.perf_counter() - began) / len(batches) - step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=30_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    step = training_step("attention")
    steps = seconds({"float32": lambda: step(False), "bfloat16": lambda: step(True)})
    portions = list(torch.randperm(args.pictures)[: 4 * BATCHES * B].view(4, BATCHES, B))
    kept = torch.randn(PORTION, *GRID).half()
    with TemporaryDirectory() as directory:
        path = Path(directory) / "features.bin"
        write(path, args.pictures)
        mapped = np.memmap(path, np.float16, "c", shape=(args.pictures, *GRID))
        grids, announce = place_features(mapped, "disk"), ReadAhead(mapped)
        for precision, spent in steps.items():
            batches = portions.pop()
            disk = waiting(grids, batches, announce, spent)
            memory = waiting(kept, batches % PORTION, step=spent)
            print(f"{precision}: step {spent:.3f} s, a batch from disk {disk:.3f} s, from memory {memory:.3f} s")
            figure = f"grids from disk over grids in memory, attention 512 in {precision}, captions/s"
            at_least(figure, round((spent + memory) / (spent + disk), 3), 0.9, "x")
        ahead, alone = waiting(grids, portions.pop(), announce), waiting(grids, portions.pop())
    memory = waiting(kept, batches % PORTION)
    told = {"read ahead": ahead, "as the system reads": alone, "in memory": memory}
    print("without steps: " + ", ".join(f"{B / spent:,.0f} captions/s {how}" for how, spent in told.items()))
    at_least(
        "grids from disk without steps, read ahead over as the system reads, captions/s",
        round(alone / ahead, 2),
        1,
        "x",
    )


if __name__ == "__main__":
    main()
