"""Figures: reading from shards over reading the same from files, over webdataset, and what index and plan cost.

    PYTHONPATH=src:. python benchmarks/shards.py [--data DIR] [--pictures 240]

Pictures of `flickr800` are written as shards; a turn reads and decodes all of them in batches of 20, once from shards,
once from their files, once with the webdataset library (its tar reader and shuffle, our decoder). Features are random,
1280 numbers in float16 as efficientnet_lite0 gives them, five captions a sample, 2,000 samples a shard. Everything lies
in the page cache, so this is the cost of the code and not of a disk. CPU time of one process; turns alternate, and the
median turn counts.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from machine import DATA, at_least

from showtell.config import ImageTransform
from showtell.data.images import decode_picture, load_picture, prepare
from showtell.data.shards.batches import ShardSplit
from showtell.data.shards.index import IndexRequest
from showtell.data.shards.members import find_shards
from showtell.data.shards.shard_set import ShardSet, open_shards
from showtell.data.shards.writing import shard_writer
from showtell.text import Vocabulary

TRANSFORM = ImageTransform()
WORDS = [f"word{number}" for number in range(5000)]
FEATURES, PER_SHARD, TURNS, BATCH = 1280, 2000, 5, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA / "flickr800")
    parser.add_argument("--pictures", type=int, default=240)
    parser.add_argument("--feature-shards", type=int, default=10)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        pictures(sorted(args.data.rglob("*.jpg"))[: args.pictures], Path(folder) / "pictures")
        features(args.feature_shards, Path(folder) / "features")


def pictures(paths: list[Path], root: Path) -> None:
    for number in range(0, len(paths), 60):
        with shard_writer(root / f"train-{number:06d}.tar") as writer:
            for row, path in enumerate(paths[number : number + 60], number):
                writer.add(f"{row:06d}", ["one caption of five words"], picture=path.read_bytes())
    shards = opened(root, "pictures")
    rates = take_turns(
        len(paths),
        {
            "shards": lambda: from_shards(shards),
            "files": lambda: from_files(paths),
            "webdataset": lambda: from_webdataset(shards.paths),
        },
    )
    at_least("pictures decoded from shards over the same files", rates["shards"] / rates["files"], 0.95, "x")
    at_least("pictures decoded from shards over webdataset", rates["shards"] / rates["webdataset"], 0.95, "x")


def features(shards: int, root: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(shards):
        with shard_writer(root / f"train-{number:06d}.tar") as writer:
            for row in range(PER_SHARD):
                texts = [" ".join(random.choice(WORDS, n)) for n in random.integers(8, 17, 5)]
                writer.add(f"{row}", texts, features=random.normal(size=FEATURES).astype(np.float16))
    began = time.process_time()
    opening = opened(root, "features")
    at_least("indexing feature shards", shards * PER_SHARD / (time.process_time() - began), 1000, "samples/s")
    _, plan = ShardSplit(opening, TRANSFORM, 10_000).training_batches(vocabulary(), 64, seed=0)
    began = time.process_time()
    planned = sum(len(rows) for rows in plan.epoch(0))
    at_least(
        "planning an epoch, which is what a resume repeats", planned / (time.process_time() - began), 1e6, "captions/s"
    )
    rates = take_turns(opening.num_captions, {"features": lambda: from_shards(opening, 64)}, turns=2)
    at_least("captions with features from shards, one process", rates["features"], 5000, "captions/s")


def opened(root: Path, what: str) -> ShardSet:
    paths = find_shards(str(root), "train-*.tar", "data.train_shards")
    return open_shards(paths, what, IndexRequest(50, decode=False), root / "index", 0)


def vocabulary() -> Vocabulary:
    return Vocabulary(["<start>", "<end>", "<unk>", *WORDS])


def from_shards(shards: ShardSet, size: int = BATCH) -> Iterator[torch.Tensor]:
    dataset, plan = ShardSplit(shards, TRANSFORM, 10_000).training_batches(vocabulary(), size, seed=0)
    return (dataset[rows]["images"] for rows in plan.epoch(0))


def from_files(paths: list[Path]) -> Iterator[torch.Tensor]:
    order = np.random.default_rng(0).permutation(len(paths))
    parts = np.split(order, range(BATCH, len(order), BATCH))
    return (torch.stack([load_picture(paths[row], TRANSFORM) for row in part]) for part in parts)


def from_webdataset(paths: list[Path]) -> Iterator[torch.Tensor]:
    import webdataset

    samples = webdataset.WebDataset([str(path) for path in paths], shardshuffle=False).shuffle(100)
    return batched((sample["jpg"], sample["json"]) for sample in samples)


def batched(samples: Iterable[tuple[bytes, bytes]]) -> Iterator[torch.Tensor]:
    held: list[torch.Tensor] = []
    for picture, told in samples:
        json.loads(told)
        held.append(prepare(decode_picture(picture, "picture"), TRANSFORM))
        if len(held) == BATCH:
            yield torch.stack(held)
            held = []
    if held:
        yield torch.stack(held)


def take_turns(
    count: int, ways: dict[str, Callable[[], Iterator[torch.Tensor]]], turns: int = TURNS
) -> dict[str, float]:
    """Items per second of CPU time, for each way."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            began = time.process_time()
            for _batch in way():
                pass
            spent[name].append(time.process_time() - began)
    rates = {name: count / float(np.median(seconds)) for name, seconds in spent.items()}
    for name, rate in rates.items():
        print(f"{name}: {rate:.0f} per CPU second")
    return rates


if __name__ == "__main__":
    main()
