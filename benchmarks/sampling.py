"""Figure: time per step for sampling a batch at COCO's training size (414,000 captions, batch 200).

Counted is all that it takes to say which captions make up the next batch: the plan of the epoch, divided by its
steps, and taking a slice of it. Gathering tokens and features is printed beside it. CPU time, best of five epochs.
"""

import time

import torch
from machine import at_most
from synthetic import caption_set, split, vocabulary

from showtell.data.loading import LengthBatches, TrainLoader

CAPTIONS, BATCH = 414_000, 200


def main() -> None:
    torch.set_num_threads(1)
    captions = caption_set(CAPTIONS, 10_000)
    data = split(captions, 64)
    batches = LengthBatches(data.usable_rows(), captions.lengths, BATCH, seed=0)
    planned = []
    for epoch in range(5):
        began = time.process_time()
        for _ in batches.epoch(epoch):
            pass
        planned.append(time.process_time() - began)
    dataset = data.caption_batches(vocabulary(captions))
    began = time.process_time()
    for _ in TrainLoader(dataset, batches, 0):
        pass
    gathered = time.process_time() - began
    print(
        f"{len(batches)} steps; with gathering tokens and 64 numbers a picture {1000 * gathered / len(batches):.3f} ms"
    )
    at_most("sampling per step at 414,000 captions", round(1000 * min(planned) / len(batches), 4), 0.05, "ms")


if __name__ == "__main__":
    main()
