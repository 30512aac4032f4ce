"""Figure: `python train.py --help` and `--cfg job`, which must not import torch.

CPU seconds of the process, best of five; the clock, which other work on the machine delays, is printed beside it.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

from machine import at_most

ROOT = Path(__file__).resolve().parents[1]


def seconds(*words: str) -> tuple[float, float]:
    """The best of five runs: CPU, and by the clock."""
    runs = []
    for _ in range(5):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "train.py", *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        after, passed = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
        runs.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, passed))
    cpu, clock = (min(times) for times in zip(*runs, strict=True))
    print(f"{' '.join(words)}: {cpu:.2f} s CPU, {clock:.2f} s by the clock")
    return cpu, clock


def main() -> None:
    seconds("--cfg", "job")
    at_most("`python train.py --help`", round(seconds("--help")[0], 2), 1.0, "s CPU")


if __name__ == "__main__":
    main()
