"""Figure: captions per second of training on grids that lie on disk, over the same with the grids in memory.

    PYTHONPATH=src python benchmarks/grids_from_disk.py [--pictures 30000]

A file of as many grids (49 x 1,280 in float16, 125 KB each; COCO's 118,000 pictures make 14.8 GB of them) is written,
put out of the system's cache, and mapped as a store of `features.place=disk` is. Batches are 100 pictures at random,
none of which comes twice, so every read goes to the disk, as in an epoch of data that are larger than memory. Reading
a batch, in memory or from disk, is timed by the clock, because it waits; the step of the soft attention decoder (512,
one thread) by CPU time. Beside other work the clock runs on while the disk rests, and the ratio is too low.
"""

import argparse
import os
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from decoder_speed import B, seconds, training_step
from machine import at_least
from torch import Tensor

from showtell.data.features.store import place_features

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


def reading(grids: Tensor, batches: Tensor) -> float:
    """Seconds by the clock in which a batch is there as float32; the median."""
    spent = []
    for rows in batches:
        began = time.perf_counter()
        grids[rows].float()
        spent.append(time.perf_counter() - began)
    return median(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=30_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    step = training_step("attention")
    steps = seconds({"float32": lambda: step(False), "bfloat16": lambda: step(True)})
    batches = torch.randperm(args.pictures)[: BATCHES * B].view(BATCHES, B)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "features.bin"
        write(path, args.pictures)
        mapped = np.memmap(path, np.float16, "c", shape=(args.pictures, *GRID))
        disk = reading(place_features(mapped, "disk"), batches)
    memory = reading(torch.randn(PORTION, *GRID).half(), batches % PORTION)
    for precision, spent in steps.items():
        print(f"{precision}: step {spent:.3f} s, a batch from disk {disk:.3f} s, from memory {memory:.3f} s")
        figure = f"grids from disk over grids in memory, attention 512 in {precision}, captions/s"
        at_least(figure, round((spent + memory) / (spent + disk), 3), 0.9, "x")


if __name__ == "__main__":
    main()
