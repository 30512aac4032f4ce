"""What the checksums of the cache cost: CPU time of checking a picture's features, against an epoch's time for it.

PYTHONPATH=src:. python benchmarks/cache_checks.py

A store is built of drawn pictures and opened again, checked and unchecked; training is AdamW steps of the LSTM on
features of that size, five captions per picture, as COCO has. All on one CPU thread.
"""

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from showtell.config import ImageTransform
from showtell.data.contents import Contents
from showtell.data.features.request import StoreRequest
from showtell.data.features.store import FeatureStore, is_complete, open_or_build
from showtell.models.decoders.base import build_decoder
from showtell.models.settings import LSTMConfig

SIZES = {
    "hidden 512, vocabulary 7,000, batch 200": (512, 7000, 200),
    "hidden 100, vocabulary 900, batch 32": (100, 900, 32),
}
PICTURES, CAPTIONS, WORDS, FEATURE, TARGET = 2000, 5, 11, 1280, 1.0


class Encoder:
    """Answers of the usual size that cost nothing."""

    feature_shape = (FEATURE,)

    def __call__(self, pixels: Tensor) -> Tensor:
        return torch.rand(len(pixels), FEATURE)


def seconds(work: Callable[[], object], times: int) -> float:
    """The median CPU time."""
    spent = []
    for _ in range(times):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def check_of_a_picture(root: Path) -> float:
    """CPU seconds of checking, per picture: stamps, contents known before, features."""
    rng, paths = np.random.default_rng(0), []
    for number in range(PICTURES):
        paths.append(str(root / f"{number}.png"))
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(paths[-1])

    def request() -> StoreRequest:
        contents = Contents(paths, root / "contents")
        return StoreRequest("bench", paths, "none", ImageTransform(size=8), "float16", contents=contents)

    store = open_or_build(root / "features", request(), Encoder, 200, 0).directory
    checked = seconds(lambda: (is_complete(store, request()), FeatureStore(store)), 9)
    return (checked - seconds(lambda: FeatureStore(store), 9)) / PICTURES


def step(hidden: int, words: int, batch: int) -> float:
    """CPU seconds of a training step."""
    decoder = build_decoder(LSTMConfig(hidden_size=hidden), (FEATURE,), words)
    optimizer = torch.optim.AdamW(decoder.parameters())
    features, captions = torch.randn(batch, FEATURE), torch.randint(3, words, (batch, WORDS))

    def work() -> None:
        optimizer.zero_grad()
        logits, extra = decoder.teacher_forced(features, captions)
        (torch.nn.functional.cross_entropy(logits.flatten(0, 1), captions.flatten()) + extra).backward()
        optimizer.step()

    return seconds(work, 12)


def main() -> None:
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        check = check_of_a_picture(Path(folder))
    for name, (hidden, words, batch) in SIZES.items():
        epoch = CAPTIONS * step(hidden, words, batch) / batch
        value = 100 * check / epoch
        print(f"{name}: {1e6 * check:.1f} us per picture, {1e6 * epoch:.0f} us of an epoch: {value:.2f} %")
        figure = {"figure": f"checksums of the cache, of an epoch ({name})", "value": round(value, 3), "unit": "%"}
        told = {"target": f"<= {TARGET}", "passed": value <= TARGET, "machine": f"{platform.machine()} CPU, 1 thread"}
        print("RESULT " + json.dumps(figure | told))


if __name__ == "__main__":
    main()
