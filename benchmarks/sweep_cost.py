"""Figures: a sweep of 12 runs on a data set, over the bare training loops of its runs; and the pictures it encodes.

    PYTHONPATH=src python benchmarks/sweep_cost.py [--data DIR] [--epochs 12] [--threads N]

The sweep is `train.py -m experiment=small_photos decoding=greedy` over three hidden sizes, two thresholds and two seeds,
one run after another, with an empty cache: starts of Python, the encoder's pass, validation with captions and scores,
checkpoints, logs and the leaderboard are all in its time. The bare loops are forward, backward and `torch.optim.Adam`
as it comes on the same batches of stored features and nothing else: no clipping, no schedule, no average, no second
look; one after another in one process with as many threads as a run of the sweep has. Both by the clock, so that the
machine should have nothing else to do. The ratio of CPU times, all processes of the sweep included, stands beside it;
with `--threads 1` nothing in it waits for other threads, and it can be had on a busy machine.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from machine import DATA, at_most, cpu, report

from showtell.config import Config, parse
from showtell.data.module import CaptionData
from showtell.models.decoders.base import build_decoder
from showtell.models.module import CaptionModule
from showtell.objectives.cross_entropy import CrossEntropy
from showtell.text import Vocabulary
from showtell.training.data_module import open_source

HIDDEN, THRESHOLDS, SEEDS = (128, 256, 512), (4, 8), (1, 2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA / "flickr800")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--threads", type=int, help="of each side; one per core if left out")
    options = parser.parse_args()
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
        torch.set_num_threads(options.threads)
    with TemporaryDirectory() as name:
        folder = Path(name)
        began, spent = time.perf_counter(), cpu()
        run_sweep(options.data.resolve(), options.epochs, folder)
        swept, swept_cpu = time.perf_counter() - began, cpu() - spent
        encoded, pictures = count_encoded(folder / "runs"), count_pictures(options.data)
        choices = product(HIDDEN, THRESHOLDS, SEEDS)
        loops = [bare_loop(config_of(options.data, options.epochs, folder, *choice)) for choice in choices]
    bare, bare_cpu = (sum(part) for part in zip(*loops, strict=True))
    print(f"sweep {swept:.0f} s, {swept_cpu:.0f} s of CPU time; bare loops {bare:.0f} s, {bare_cpu:.0f} s of CPU time")
    report("pictures encoded by a sweep of 12 runs", encoded, "pictures", f"{pictures}", encoded == pictures)
    at_most("sweep of 12 runs over their bare training loops", round(swept / bare, 2), 1.5, "x")
    what = "sweep of 12 runs over their bare training loops, by CPU time"
    report(what, round(swept_cpu / bare_cpu, 2), "x", "-", True)


def run_sweep(data: Path, epochs: int, folder: Path) -> None:
    """`train.py -m`, as a user types it."""
    words = ["experiment=small_photos", f"data.root={data}", f"training.max_epochs={epochs}", "device=cpu"]
    words += ["decoding=greedy", "name=sweep", f"cache={folder}/cache"]
    words += [f"decoder.hidden_size={listed(HIDDEN)}", f"vocab.threshold={listed(THRESHOLDS)}", f"seed={listed(SEEDS)}"]
    train = Path(__file__).resolve().parents[1] / "train.py"
    command = [sys.executable, str(train), "-m", *words, f"hydra.sweep.dir={folder}/runs", "sweep.jobs=1"]
    subprocess.run(command, check=True, stdout=sys.stderr)


def count_encoded(runs: Path) -> int:
    """How many pictures all runs together sent through the encoder."""
    logs = [log.read_text(encoding="utf-8") for log in sorted(runs.glob("*/out.log"))]
    found = [count for log in logs for count in re.findall(r"encoding +\S+: ([\d,]+) pictures in", log)]
    return sum(int(count.replace(",", "")) for count in found)


def count_pictures(data: Path) -> int:
    """How many pictures there are to train and to validate with."""
    files = [data / f"captions_{split}.json" for split in ("train", "val")]
    return sum(len(json.loads(file.read_text(encoding="utf-8"))["images"]) for file in files)


def listed(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))


def config_of(data: Path, epochs: int, folder: Path, hidden: int, threshold: int, seed: int) -> Config:
    """The configuration of one run of the sweep."""
    annotations = {f"{split}_annotations": f"captions_{split}.json" for split in ("train", "val")}
    images = {f"{split}_images": "images" for split in ("train", "val")}
    return parse(
        {
            "seed": seed,
            "cache": str(folder / "cache"),
            "data": {"name": "custom", "format": "coco", "root": str(data), **annotations, **images},
            "decoder": {
                "hidden_size": hidden,
                "dropout": 0.5,
                "word_dropout": 0.2,
                "feature_dropout": 0.2,
                "image_every_step": True,
            },
            "vocab": {"threshold": threshold},
            "training": {"max_epochs": epochs, "batch_size": 32},
        }
    )


def bare_loop(config: Config) -> tuple[float, float]:
    """Seconds of all epochs' steps, by the clock and of CPU time; building is not counted."""
    source = open_source(config)
    train, val = source.train, source.val
    words = Vocabulary.from_counts(train.counts, config.vocab.threshold)
    data = CaptionData(train, val, words, config.training, config.seed, 0)
    torch.manual_seed(config.seed)
    decoder = build_decoder(config.decoder, source.feature_shape, len(words))
    module = CaptionModule(
        source.encoder, decoder, words, CrossEntropy(), training=config.training, decoding=config.decoding
    )
    adam = torch.optim.Adam(decoder.parameters(), lr=config.training.learning_rate)
    began, spent = time.perf_counter(), time.process_time()
    for _ in range(config.training.max_epochs):
        for batch in data.train_dataloader():
            adam.zero_grad()
            module.loss(batch).backward()
            adam.step()
            data.position.advance(data.batches_per_epoch)
    return time.perf_counter() - began, time.process_time() - spent


if __name__ == "__main__":
    main()
