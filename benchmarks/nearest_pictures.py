"""Figure: the nearest of 80,000 training pictures to each of 5,000, by features of 1,280 numbers (efficientnet_lite0).

Random features, mapped from a file of float16 as a store is; found on two cores, with bounded memory. The best round
counts, so that other work on the machine does not; the time of the processors is printed beside it.
Run: `python benchmarks/nearest_pictures.py [--width 2048] [--rounds 3]`.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import at_most

from showtell.analysis.nearest import nearest, pooled

QUERIES, KEYS = 5_000, 80_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=1280, help="numbers per picture")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    width = arguments.width
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        keys = np.memmap(Path(folder) / "features.bin", np.float16, "w+", shape=(KEYS, width))
        for start in range(0, KEYS, 8_000):
            keys[start : start + 8_000] = rng.random((8_000, width), np.float32)
        known = rng.choice(KEYS, QUERIES, replace=False)
        queries = pooled(keys[known] + rng.random((QUERIES, width), np.float32) / 10)
        before = resource.getrusage(resource.RUSAGE_SELF)
        times = []
        for _ in range(arguments.rounds):
            began = time.perf_counter()
            rows, _ = nearest(queries, keys)
            times.append(time.perf_counter() - began)
            assert (rows == known).all()
        after = resource.getrusage(resource.RUSAGE_SELF)
    spent = (after.ru_utime - before.ru_utime) / arguments.rounds
    print(f"{min(times):.1f} s, {spent:.1f} s of processors, {(after.ru_maxrss - before.ru_maxrss) / 1024:.0f} MB more")
    at_most(f"nearest of {KEYS:,} pictures to each of {QUERIES:,}, {width} numbers each", min(times), 10, "s")


if __name__ == "__main__":
    main()
