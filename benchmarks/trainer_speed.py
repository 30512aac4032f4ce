"""Figure: captions per second of the real Trainer, over a bare loop on one fixed batch.

    PYTHONPATH=src python benchmarks/trainer_speed.py [large|small|attention]

The Trainer is the one of every run: batches gathered from stored features, logging to TensorBoard and CSV, Rich's
progress bar drawing, the checkpoint callbacks copying each step boundary and writing `last.ckpt` every 1,000 steps or
once. The bare loop is forward, backward and `torch.optim.Adam` on one batch that is always the same, with the same
network. All captions have 11 words, so that every batch costs the same. Showtell uses Adam's fused kernel; a second
bare loop does so too, and shows what is left between Lightning and the hardware.

Both take turns of a few steps within one process, so that other work on the machine meets both alike. The ratio is
that of the process's CPU time, which counts all threads and does not count waiting for other processes' turns; the
ratio of the clock is printed beside it.
"""

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytorch_lightning as pl
import torch
from machine import at_least
from pytorch_lightning.callbacks import Callback
from synthetic import caption_set, split, vocabulary

from showtell.checkpointing.stop import GracefulStop
from showtell.config import Config, parse
from showtell.data.module import CaptionData
from showtell.models.decoders.base import build_decoder
from showtell.models.encoders.encoding import LazyEncoder
from showtell.models.module import CaptionModule
from showtell.models.scores import Scores
from showtell.objectives.cross_entropy import CrossEntropy
from showtell.training.trainer import build_trainer

Clocks = tuple[float, float]
WORDS = 11
SIZES = {
    "large": {"hidden": 512, "words": 6997, "batch": 200, "target": 0.97, "turn": 2, "turns": 14},
    "small": {"hidden": 100, "words": 897, "batch": 32, "target": 0.85, "turn": 25, "turns": 40},
    "attention": {"hidden": 256, "words": 897, "batch": 32, "target": 0.9, "turn": 5, "turns": 30},
}


def shape(size: dict[str, Any]) -> tuple[int, ...]:
    """The features: a vector, or a grid of regions for the decoder that attends to them."""
    return (49, 1280) if size is SIZES["attention"] else (2048,)


def decoder(size: dict[str, Any]) -> dict[str, Any]:
    """The LSTM, or soft attention with the settings of `decoder=attention`."""
    if size is not SIZES["attention"]:
        return {"hidden_size": size["hidden"]}
    return {"name": "attention", "hidden_size": size["hidden"], "region_size": 256, "dropout": 0.5}


def config(size: dict[str, Any], steps: int) -> Config:
    return parse(
        {
            "decoder": decoder(size),
            "device": {"accelerator": os.environ.get("SHOWTELL_DEVICE", "cpu")},
            "training": {
                "batch_size": size["batch"],
                "max_epochs": 1,
                "max_steps": steps,
                "checkpoint_every_steps": min(1000, steps // 2),
                "limit_val_batches": 1,
            },
        }
    )


class BareLoop:
    """Forward, backward and Adam on one batch."""

    def __init__(self, module: CaptionModule, batch: dict[str, torch.Tensor], fused: bool | None) -> None:
        self.module = module
        self.adam = torch.optim.Adam(module.decoder.parameters(), lr=1e-3, fused=fused)
        self.batch = batch

    def steps(self, count: int) -> None:
        """So many steps."""
        for _ in range(count):
            self.adam.zero_grad()
            self.module.loss(self.batch).backward()
            self.adam.step()


class Turns(Callback):
    """Lets each bare loop have as many steps as the Trainer just had, and times all of them."""

    def __init__(self, bare: dict[str, BareLoop], turn: int) -> None:
        self.bare = bare
        self.turn = turn
        self.spent: dict[str, list[Clocks]] = {"trainer": [], **{name: [] for name in bare}}
        self.began: Clocks | None = None

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """At the end of the Trainer's turn, gives one to each bare loop."""
        if trainer.global_step % self.turn:
            return
        if self.began is not None:
            self.note("trainer", self.began)
            for name, loop in self.bare.items():
                began = clocks()
                loop.steps(self.turn)
                self.note(name, began)
        self.began = clocks()

    def note(self, name: str, began: Clocks) -> None:
        """Adds a turn's time."""
        now = clocks()
        self.spent[name].append((now[0] - began[0], now[1] - began[1]))


def clocks() -> Clocks:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.process_time(), time.perf_counter()


def measure(size: dict[str, Any], run_dir: Path) -> dict[str, list[Clocks]]:
    steps = size["turn"] * size["turns"]
    wanted = config(size, steps)
    captions = caption_set((steps + 5) * size["batch"], size["words"], WORDS)
    words, train = vocabulary(captions), split(captions, *shape(size))
    val = split(caption_set(size["batch"], size["words"], WORDS), *shape(size))
    data = CaptionData(train, val, words, wanted.training, 0, 0)

    def module() -> CaptionModule:
        torch.manual_seed(0)
        decoder = build_decoder(wanted.decoder, shape(size), len(words))
        return CaptionModule(
            LazyEncoder(wanted.encoder),
            decoder,
            words,
            CrossEntropy(),
            training=wanted.training,
            decoding=wanted.decoding,
        )

    stop = GracefulStop()
    trainer = build_trainer(wanted, run_dir, data, [Scores({}, dict)], stop, None)
    device = trainer.strategy.root_device
    batch = {key: value.to(device) for key, value in next(iter(data.train_dataloader())).items()}
    fused = {"bare": None, "bare, fused": True}
    bare = {name: BareLoop(module().to(device), batch, value) for name, value in fused.items()}
    for loop in bare.values():
        loop.steps(5)
    turns = Turns(bare, size["turn"])
    # the first to be called: what the other callbacks do at a step's start belongs to the Trainer's turn
    trainer.callbacks.insert(0, turns)  # type: ignore[attr-defined]
    with stop:
        trainer.fit(module(), datamodule=data)
    return {key: values[2:] for key, values in turns.spent.items()}


def main() -> None:
    os.environ["TTY_COMPATIBLE"] = "1"  # Rich draws its bar although the output is collected
    for name in sys.argv[1:] or SIZES:
        size = SIZES[name]
        with TemporaryDirectory() as directory, quiet():
            spent = measure(size, Path(directory))
        show(name, size, spent)


def show(name: str, size: dict[str, Any], spent: dict[str, list[Clocks]]) -> None:
    count = size["turn"] * size["batch"] * len(spent["bare"])
    cpu, clock = ({kind: sum(pair[i] for pair in pairs) for kind, pairs in spent.items()} for i in (0, 1))
    for kind in spent:
        by_cpu, by_clock = cpu[kind] / cpu["trainer"], clock[kind] / clock["trainer"]
        ratios = f"the Trainer's over it: {by_cpu:.3f} by CPU time, {by_clock:.3f} by the clock"
        print(f"{name} {kind:12} {count / cpu[kind]:8.0f} captions per CPU second, {ratios}")
    figure = (
        f"Trainer over a bare loop, {'attention' if size is SIZES['attention'] else 'LSTM'}, "
        f"hidden {size['hidden']}, vocabulary {size['words'] + 3:,}, batch {size['batch']}"
    )
    at_least(figure, round(cpu["bare"] / cpu["trainer"], 3), size["target"], "x")


class quiet:
    """Sends the progress bar to nowhere."""

    def __enter__(self) -> None:
        sys.stdout.flush()
        self.kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        os.dup2(self.kept, 1)
        os.close(self.kept)


if __name__ == "__main__":
    main()
