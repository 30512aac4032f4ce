"""Figure: cost per epoch as captions grow 1x, 4x, 16x: the largest deviation from linear.

Epochs of a real loader and a real training step (hidden 100, vocabulary 900, batch 32) over 1,600, 6,400 and 25,600
captions of one length. CPU time per caption, the sizes in turns of 50 steps so that other work on the machine meets
all alike; planning the epoch counts with its first step.
"""

import time
from collections.abc import Iterator

import torch
from machine import at_most
from synthetic import caption_set, split, vocabulary

from showtell.config import parse
from showtell.data.module import CaptionData
from showtell.models.decoders import build_decoder
from showtell.models.encoders.encoding import LazyEncoder
from showtell.models.module import CaptionModule
from showtell.objectives.cross_entropy import CrossEntropy

SIZES = (1600, 6400, 25600)
SHARES = 16  # a turn is this part of an epoch


def epoch(captions: int) -> Iterator[float]:
    """An epoch in `SHARES` parts; each yields its CPU time."""
    config = parse({"training": {"batch_size": 32}})
    made = caption_set(captions, 897, 11)
    words = vocabulary(made)
    data = CaptionData(split(made, 1280), split(made, 8), words, config.training, 0, 0)
    torch.manual_seed(0)
    module = CaptionModule(
        LazyEncoder(config.encoder),
        build_decoder(config.decoder, (1280,), len(words)),
        words,
        CrossEntropy(),
        training=config.training,
        decoding=config.decoding,
    )
    adam = torch.optim.Adam(module.decoder.parameters(), fused=True)
    module.loss(next(iter(data.train_dataloader()))).backward()
    yield 0.0
    began = time.process_time()
    steps = iter(data.train_dataloader())
    part = len(data.batches) / SHARES
    for number, batch in enumerate(steps, start=1):
        adam.zero_grad()
        module.loss(batch).backward()
        adam.step()
        if int(number / part) > int((number - 1) / part):
            yield time.process_time() - began
            began = time.process_time()


def main() -> None:
    torch.set_num_threads(1)
    epochs = [epoch(size) for size in SIZES]
    for one in epochs:
        next(one)
    spent = [sum(parts) for parts in zip(*zip(*epochs, strict=True), strict=True)]
    per_caption = [seconds / size for seconds, size in zip(spent, SIZES, strict=True)]
    for size, seconds, each in zip(SIZES, spent, per_caption, strict=True):
        print(f"{size:6} captions: {seconds:6.2f} s an epoch, {1e6 * each:6.1f} us a caption")
    worst = max(abs(each / per_caption[0] - 1) for each in per_caption)
    at_most("deviation of an epoch's cost from linear, captions 1x, 4x, 16x", round(100 * worst, 1), 10, "%")


if __name__ == "__main__":
    main()
