"""Figures: captions per second of training on batches of neighbouring lengths, over batches of one length.

Showtell's batches hold captions of one length, so a small data set leaves many that are not full: flickr800's 3,500
captions in batches of 100 make 60 steps of 58 captions on average, where 35 full ones would do. Here they are sorted by
length, cut into full batches, and padded to the longest of their batch; a mask would cost nothing beside the products,
so none is applied. Steps (forward, backward, fused Adam) take turns in one process on one thread; CPU seconds.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from machine import report
from numpy.typing import NDArray
from trainer_speed import SIZES

from showtell.config import parse
from showtell.data.loading import LengthBatches
from showtell.models.decoders import build_decoder
from showtell.models.objective import CaptionBatch
from showtell.objectives.cross_entropy import CrossEntropy

V, TURNS = 886, 10
Lengths = NDArray[np.integer[Any]]


def of_one_length(lengths: Lengths, size: int) -> list[Lengths]:
    """The lengths in each batch of an epoch."""
    return [lengths[rows] for rows in LengthBatches(np.arange(len(lengths)), lengths, size, 0).epoch(0)]


def of_neighbours(lengths: Lengths, size: int) -> list[Lengths]:
    """The same, each as long as its longest."""
    ordered = np.sort(lengths)
    parts = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return [np.full_like(parts[i], parts[i].max()) for i in np.random.default_rng(0).permutation(len(parts))]


def training(name: str, hidden: int, bfloat16: bool) -> Callable[[Lengths], None]:
    """A step of a decoder on a batch of captions so long."""
    shape = (1280,) if name == "lstm" else (49, 1280)
    sizes = {"hidden_size": hidden, "embedding_size": hidden}
    if name == "attention":
        sizes |= {"region_size": hidden, "attention_size": hidden}
    decoder = build_decoder(parse({"decoder": {"name": name, **sizes}}).decoder, shape, V).train()
    compute, adam = CrossEntropy(), torch.optim.Adam(decoder.parameters(), fused=True)
    features = torch.randn(100, *shape)

    def step(lengths: Lengths) -> None:
        tokens = torch.randint(3, V, (len(lengths), int(lengths[0]) + 1))
        adam.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss, _ = compute(decoder, CaptionBatch(features[: len(lengths)], tokens, torch.arange(len(lengths))))
        loss.backward()
        adam.step()

    return step


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
        step, spent = training(name, hidden, bfloat16), [0.0, 0.0]
        step(plans[1][0])
        for turn in range(TURNS):
            for place, plan in enumerate(plans):
                began = time.process_time()
                for batch in plan[turn::TURNS]:
                    step(batch)
                spent[place] += time.process_time() - began
        print(f"{name} {hidden}: {len(plans[0])} steps of one length, {len(plans[1])} of neighbouring lengths")
        precision = "bfloat16" if bfloat16 else "float32"
        figure = f"batches of neighbouring lengths over those of one, {name} {hidden} in {precision}, batch {size}"
        report(f"{figure}, flickr800, captions/s", round(spent[0] / spent[1], 2), "x", "-", True)


if __name__ == "__main__":
    main()
