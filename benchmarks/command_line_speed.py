"""Figure: `python train.py --help` and `--cfg job`, which must not import torch: seconds of the clock, best of five."""

import subprocess
import sys
import time
from pathlib import Path

from machine import at_most

ROOT = Path(__file__).resolve().parents[1]


def seconds(*words: str) -> float:
    """The best of five runs."""
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "train.py", *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        spent.append(time.perf_counter() - began)
    return min(spent)


def main() -> None:
    print(f"--cfg job: {seconds('--cfg', 'job'):.2f} s")
    at_most("`python train.py --help`", round(seconds("--help"), 2), 1.0, "s")


if __name__ == "__main__":
    main()
