"""Figures: captions per second of training on batches of neighbouring lengths, over batches of one length.

Showtell's batches hold captions of one length, so a small data set leaves many that are not full: flickr800's 3,500
captions in batches of 100 make 60 steps of 58 captions on average, where 35 full ones would do. Here they are sorted by
length, cut into full batches, and padded to the longest of their batch; a mask would cost nothing beside the products,
so none is applied. Steps (forward, backward, fused Adam) take turns in one process on one thread; CPU seconds.
"""

import time
from typing import Any

import numpy as np
import torch
from decoder_speed import B, V, build, shape, steps_on
from machine import report
from numpy.typing import NDArray
from torch import Tensor
from trainer_speed import SIZES

from showtell.data.loading import LengthBatches, cut
from showtell.models.objective import CaptionBatch

TURNS = 10
Lengths = NDArray[np.integer[Any]]


def of_one_length(lengths: Lengths, size: int) -> list[Lengths]:
    """The lengths in each batch of an epoch."""
    return [lengths[rows] for rows in LengthBatches(np.arange(len(lengths)), lengths, size, 0).epoch(0)]


def of_neighbours(lengths: Lengths, size: int) -> list[Lengths]:
    """The same, each as long as its longest."""
    parts = cut(np.sort(lengths), size)
    return [np.full_like(parts[i], parts[i].max()) for i in np.random.default_rng(0).permutation(len(parts))]


def batch_of(lengths: Lengths, features: Tensor) -> CaptionBatch:
    """Captions by chance, as long as the first one is."""
    tokens = torch.randint(3, V, (len(lengths), int(lengths[0]) + 1))
    return CaptionBatch(features[: len(lengths)], tokens, torch.arange(len(lengths)))


def main() -> None:
    torch.set_num_threads(1)
    lengths = SIZES["photos"].caption_set().lengths
    for name, hidden, size, bfloat16 in (
        ("lstm", 512, 100, False),
        ("lstm", 512, 100, True),
        ("lstm", 100, 32, False),
        ("attention", 512, 100, False),
    ):
        plans = [of_one_length(lengths, size), of_neighbours(lengths, size)]
        step, spent = steps_on(build(name, width=hidden)), [0.0, 0.0]
        features = torch.randn(B, *shape(name))
        step(batch_of(plans[1][0], features), bfloat16)
        for turn in range(TURNS):
            for place, plan in enumerate(plans):
                began = time.process_time()
                for batch in plan[turn::TURNS]:
                    step(batch_of(batch, features), bfloat16)
                spent[place] += time.process_time() - began
        print(f"{name} {hidden}: {len(plans[0])} steps of one length, {len(plans[1])} of neighbouring lengths")
        precision = "bfloat16" if bfloat16 else "float32"
        figure = f"batches of neighbouring lengths over those of one, {name} {hidden} in {precision}, batch {size}"
        report(f"{figure}, flickr800, captions/s", round(spent[0] / spent[1], 2), "x", "-", True)


if __name__ == "__main__":
    main()
