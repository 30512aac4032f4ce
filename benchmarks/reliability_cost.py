"""What reliability costs in a training step of a real run: one Trainer, every other step made without it.

PYTHONPATH=src:. python benchmarks/reliability_cost.py

"Without" leaves out the callbacks that keep the step boundary, watch the loss and catch signals, and the seed per step.
Nothing is written in the timed steps. On a CPU the thread's own time counts, which neighbours on the machine do not
lengthen; the figure is the median of the ratios of neighbouring steps.
"""

import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
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
from showtell.config import EncoderConfig
from showtell.models.decoders import build_decoder
from showtell.models.encoders.encoding import LazyEncoder
from showtell.models.module import CaptionModule
from showtell.models.settings import LSTMConfig
from showtell.objectives.cross_entropy import CrossEntropy
from showtell.text import SPECIAL_TOKENS, Vocabulary
from showtell.training.trainer import ExactSteps, quieten_lightning

SIZES = {
    "hidden 512, vocabulary 7,000, batch 200": (512, 7000, 200),
    "hidden 100, vocabulary 900, batch 32": (100, 900, 32),
}
WORDS, FEATURE, WARM = 11, 1280, 3
HOOKS = ("on_train_batch_start", "on_before_backward", "on_before_optimizer_step", "on_train_batch_end")
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
    """The time of each step, from one batch's beginning to the next one's; before it switches the others on or off."""

    def __init__(self) -> None:
        self.ticks: list[float] = []
        self.on = True

    def on_train_batch_start(self, *_: Any) -> None:
        """Ticks."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ticks.append(time.perf_counter() if torch.cuda.is_available() else time.thread_time())
        self.on = len(self.ticks) % 2 == 1

    def gate(self, part: Callback) -> Callback:
        """Lets a callback's hooks act in every other step."""
        for hook in HOOKS:
            if hook in vars(type(part)):
                setattr(part, hook, partial(self._call, getattr(part, hook)))
        return part

    def _call(self, hook: Callable[..., None], *arguments: Any) -> None:
        if self.on:
            hook(*arguments)

    def costs(self) -> tuple[float, list[float]]:
        """Median seconds of a step without, and the cost in percent of each pair of steps."""
        steps = np.diff(self.ticks)[2 * WARM :]
        number = len(steps) // 2 * 2
        reliable, plain = steps[0:number:2], steps[1:number:2]
        return float(np.median(plain)), (100 * (reliable / plain - 1)).tolist()


def measured(size: tuple[int, int, int], steps: int, directory: Path) -> Clock:
    """Trains some steps, every other one with everything."""
    hidden, words, batch = size
    vocabulary = Vocabulary([*SPECIAL_TOKENS, *(f"w{number}" for number in range(words - 3))])
    decoder = build_decoder(LSTMConfig(hidden_size=hidden), (FEATURE,), words)
    module = CaptionModule(LazyEncoder(EncoderConfig()), decoder, vocabulary, CrossEntropy())
    data, clock = Data(words, batch, steps), Clock()
    steps_of: Any = data  # of CaptionData the callback needs the position only
    parts = [GracefulStop(), FiniteLoss(), ExactSteps(steps_of, 1), LastCheckpoint(directory)]
    trainer = pl.Trainer(
        accelerator="auto", devices=1, max_steps=steps, logger=False, limit_val_batches=0,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=directory,
        callbacks=[clock, *(clock.gate(part) for part in parts)],
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return clock


def main() -> None:
    torch.set_num_threads(1)
    quieten_lightning()
    warnings.filterwarnings("ignore")
    for name, size in SIZES.items():
        with TemporaryDirectory() as directory:
            plain, costs = measured(size, 60 if size[0] > 200 else 1000, Path(directory)).costs()
        value = statistics.median(costs)
        low, high = np.percentile(costs, [25, 75])
        print(f"{name}: step {1000 * plain:.2f} ms, {value:+.2f} % (half of the pairs {low:+.1f} to {high:+.1f})")
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
