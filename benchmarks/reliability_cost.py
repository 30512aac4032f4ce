"""What reliability costs in a training step of a real run: the same Trainer with and without it, in turns, as a ratio.

PYTHONPATH=src:. python benchmarks/reliability_cost.py

"Without" is the trainer without the callbacks that keep the step boundary, watch the loss and catch signals, and
without the seed per step. Nothing is written in the timed steps. Each pair of turns runs on the same machine in the
same minute; the median of their ratios counts.
"""

import json
import platform
import statistics
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from showtell.checkpointing.finite import FiniteLoss
from showtell.checkpointing.last import LastCheckpoint
from showtell.checkpointing.stop import GracefulStop
from showtell.config import DecoderConfig, DecodingConfig, TrainingConfig
from showtell.models.module import CaptionModule, build_decoder
from showtell.trainer import ExactSteps, quieten_lightning
from showtell.vocabulary import SPECIAL_TOKENS, Vocabulary

SIZES = {
    "hidden 512, vocabulary 7,000, batch 200": (512, 7000, 200),
    "hidden 100, vocabulary 900, batch 32": (100, 900, 32),
}
WORDS, FEATURE, TURNS, WARM = 11, 1280, 9, 5
TARGET = 2.0


class Data(pl.LightningDataModule):
    """Batches of random features and captions, with the position that a checkpoint keeps."""

    def __init__(self, vocabulary: int, batch: int, steps: int) -> None:
        super().__init__()
        from showtell.data.loading import Position

        self.position = Position()
        self.batches_per_epoch = steps + 1  # the epoch's end is not timed
        self.batch = {
            "images": torch.randn(batch, FEATURE),
            "captions": torch.from_numpy(np.random.default_rng(0).integers(3, vocabulary, (batch, WORDS))),
            "picture_ids": torch.arange(batch),
        }

    def train_dataloader(self) -> "Repeat":
        """The same batch all over."""
        return Repeat(self.batch, self.batches_per_epoch)

    def state_dict(self) -> dict[str, Any]:
        """The position, as in the real one."""
        return vars(self.position).copy()


class Repeat:
    """A loader whose batches cost nothing."""

    def __init__(self, batch: dict[str, torch.Tensor], number: int) -> None:
        self.batch = batch
        self.number = number

    def __len__(self) -> int:
        return self.number

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return iter([self.batch] * self.number)


class Clock(Callback):
    """The time of each step, from one batch's beginning to the next one's."""

    def __init__(self) -> None:
        self.ticks: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        """Ticks."""
        self.ticks.append(time.perf_counter())

    def seconds(self) -> float:
        """The median step."""
        return statistics.median(np.diff(self.ticks[WARM:]).tolist())


def step_seconds(size: tuple[int, int, int], reliable: bool, steps: int, directory: Path) -> float:
    """Trains some steps with or without."""
    hidden, words, batch = size
    vocabulary = Vocabulary([*SPECIAL_TOKENS, *(f"w{number}" for number in range(words - 3))])
    decoder = build_decoder(DecoderConfig(hidden_size=hidden), (FEATURE,), words)
    module = CaptionModule(decoder, vocabulary, TrainingConfig(), DecodingConfig(), {})
    data, clock = Data(words, batch, steps), Clock()
    steps_of: Any = data  # of CaptionData the callback needs the position only
    parts = [GracefulStop(), FiniteLoss(), ExactSteps(steps_of, 1), LastCheckpoint(directory)] if reliable else []
    trainer = pl.Trainer(
        accelerator="auto", devices=1, max_steps=steps, logger=False, enable_checkpointing=reliable, limit_val_batches=0,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[clock, *parts], default_root_dir=directory,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return clock.seconds()


def main() -> None:
    torch.set_num_threads(1)
    quieten_lightning()
    warnings.filterwarnings("ignore")
    for name, size in SIZES.items():
        steps = 20 if size[0] > 200 else 150
        ratios, plain = [], []
        with TemporaryDirectory() as directory:
            for turn in range(TURNS):
                order = (True, False) if turn % 2 else (False, True)
                times = {kind: step_seconds(size, kind, steps, Path(directory)) for kind in order}
                ratios.append(100 * (times[True] / times[False] - 1))
                plain.append(1000 * times[False])
        value = statistics.median(ratios)
        spread = f"turns {min(ratios):+.1f} to {max(ratios):+.1f}"
        print(f"{name}: step {statistics.median(plain):.2f} ms, {value:+.2f} % ({spread})")
        machine = (
            f"{torch.cuda.get_device_name()}" if torch.cuda.is_available() else f"{platform.machine()} CPU, 1 thread"
        )
        result = {
            "figure": f"cost of reliability per training step ({name})",
            "value": round(value, 2),
            "unit": "%",
            "target": f"<= {TARGET}",
            "passed": value <= TARGET,
            "machine": machine,
        }
        print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
