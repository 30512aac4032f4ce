"""Figure: what the recipes for COCO learn from 40,000 drawn scenes, and how an epoch's cost grows from 4,000 to these.

    python benchmarks/large_recipes.py [--folder DIR] [--recipes coco coco_attention] [--epochs 1]

No data set of COCO's size is at hand, and 700 photographs cannot tell how `experiment=coco` behaves. So its sizes,
dropout, schedule and batches are kept, and pictures, encoder (the offline one) and vocabulary are those of the embedded
scenes: `val/true` is the share of 400 captions that are wholly true. Trains with `train.py`, on one thread. Drawing and
encoding are a run of one step beforehand, so what is compared of an epoch is its CPU time, start and validation
included. Takes an hour, most of it for attention.
"""

import argparse
import csv
import os
import subprocess
import sys
from pathlib import Path

from machine import at_least, at_most, cpu

ROOT = Path(__file__).resolve().parents[1]
SIZES = (4_000, 40_000)
POOLINGS = {"coco": "quarters", "coco_attention": "cells"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/large_recipes"), help="for data, cache and runs")
    parser.add_argument("--recipes", nargs="+", default=list(POOLINGS), choices=POOLINGS)
    parser.add_argument("--epochs", type=int, default=1, help="of the larger set")
    options = parser.parse_args()
    for recipe in options.recipes:
        small, large = (epoch(recipe, size, options.folder, options.epochs) for size in SIZES)
        growth = large[0] / options.epochs / small[0] / (SIZES[1] / SIZES[0])
        name = f"experiment={recipe} on 40,000 scenes, {options.epochs} epoch(s)"
        at_least(f"{name}: captions wholly true", round(100 * large[1], 1), 95, "%")
        at_most(f"{name}: an epoch's cost over 10 of 4,000 scenes", round(growth, 3), 1.1, "")


def epoch(recipe: str, scenes: int, folder: Path, epochs: int) -> tuple[float, float]:
    """CPU seconds of one epoch, or of `epochs` of the larger set, and `val/true` at the end."""
    words = [f"experiment={recipe}", "data=shapes", f"data.root={folder}/scenes{scenes}", f"cache={folder}/cache",
             f"data.shapes.train_pictures={scenes}", "encoder=efficientnet_lite0", "encoder.image_size=128",
             f"encoder.pooling={POOLINGS[recipe]}", "vocab=min4", "training.warmup_steps=50"]  # fmt: skip
    run = folder / f"{recipe}_{scenes}"
    _train([*words, f"hydra.run.dir={run}_start", "training.max_steps=1", "training.limit_val_batches=1"])
    before = cpu()
    _train([*words, f"hydra.run.dir={run}", f"training.max_epochs={epochs if scenes == SIZES[-1] else 1}"])
    spent = cpu() - before
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        true = [float(row["val/true"]) for row in csv.DictReader(file) if row.get("val/true")][-1]
    print(f"{recipe}, {scenes:,} scenes: {spent:.0f} s of CPU time, val/true {true:.4f}", flush=True)
    return spent, true


def _train(words: list[str]) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, ROOT / "train.py", *words], check=True, stdout=sys.stderr, env=environment)


if __name__ == "__main__":
    main()
