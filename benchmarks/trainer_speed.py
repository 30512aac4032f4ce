"""Figure: captions per second of the real Trainer, over a bare loop on the same batches.

    PYTHONPATH=src python benchmarks/trainer_speed.py [large|small|attention|photos]

The Trainer is the one of every run: batches gathered from stored features, logging to TensorBoard and CSV, Rich's
progress bar drawing, the checkpoint callbacks copying each step boundary and writing `last.ckpt` every 1,000 steps or
once. The bare loop is forward, backward and `torch.optim.Adam` on the batches that the Trainer just had, with the same
network. All captions have 11 words, so that every batch costs the same; those of `photos` are flickr800's, in batches
as they come. Showtell uses Adam's fused kernel; a second bare loop does so too, and shows what is left between
Lightning and the hardware.

Both take turns of a few steps within one process, so that other work on the machine meets both alike. The ratio is
that of the process's CPU time, which counts all threads and does not count waiting for other processes' turns; the
ratio of the clock is printed beside it.
"""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytorch_lightning as pl
import torch
from machine import DATA, at_least
from pytorch_lightning.callbacks import Callback
from synthetic import caption_set, split, vocabulary

from showtell.checkpointing.stop import GracefulStop
from showtell.config import Config, parse
from showtell.data.caption_set import CaptionSet, load_captions
from showtell.data.module import CaptionData
from showtell.models.decoders.base import build_decoder
from showtell.models.encoders.encoding import LazyEncoder
from showtell.models.module import CaptionModule
from showtell.models.scores import Scores
from showtell.objectives.cross_entropy import CrossEntropy
from showtell.text import Vocabulary
from showtell.training.trainer import build_trainer

Clocks = tuple[float, float]
Batches = Sequence[dict[str, torch.Tensor]]
WORDS = 11


@dataclass(frozen=True)
class Size:
    """What is trained, and how many steps make a turn."""

    hidden: int
    words: int
    batch: int
    target: float
    turn: int
    turns: int
    attends: bool = False
    captions: Path | None = None

    @property
    def steps(self) -> int:
        return self.turn * self.turns

    @property
    def features(self) -> tuple[int, ...]:
        """The features: a vector, or a grid of regions for the decoder that attends to them."""
        return (49, 1280) if self.attends else (2048,)

    @property
    def decoder(self) -> dict[str, Any]:
        """The LSTM, or soft attention with the settings of `decoder=attention`."""
        attention = {"name": "attention", "region_size": 256, "dropout": 0.5} if self.attends else {}
        return {"hidden_size": self.hidden, **attention}

    @property
    def figure(self) -> str:
        who = f"{'attention' if self.attends else 'LSTM'}, hidden {self.hidden}"
        data = "captions of flickr800 as they come" if self.captions else f"vocabulary {self.words + 3:,}"
        return f"Trainer over a bare loop, {who}, {data}, batch {self.batch}"

    def caption_set(self) -> CaptionSet:
        """So many captions of one length that all steps are in one epoch, or those of a folder."""
        if self.captions is None:
            return caption_set((self.steps + 5) * self.batch, self.words, WORDS)
        data = parse({"data": {"name": "custom", "format": "folder", "root": str(self.captions)}}).data
        with TemporaryDirectory() as cache:
            return load_captions(data, "train", Path(cache))


SIZES = {
    "large": Size(hidden=512, words=6997, batch=200, target=0.97, turn=2, turns=14),
    "small": Size(hidden=100, words=897, batch=32, target=0.85, turn=25, turns=40),
    "attention": Size(hidden=256, words=897, batch=32, target=0.9, turn=5, turns=30, attends=True),
    "photos": Size(hidden=512, words=883, batch=100, target=0.93, turn=5, turns=36, captions=DATA / "flickr800"),
}


def config(size: Size) -> Config:
    return parse(
        {
            "decoder": size.decoder,
            "device": {"accelerator": os.environ.get("SHOWTELL_DEVICE", "cpu")},
            "training": {
                "batch_size": size.batch,
                "max_epochs": 100,
                "max_steps": size.steps,
                "checkpoint_every_steps": min(1000, size.steps // 2),
                "limit_val_batches": 1,
                "monitor": "val/loss",
            },
        }
    )


class BareLoop:
    """Forward, backward and Adam."""

    def __init__(self, module: CaptionModule, fused: bool | None) -> None:
        self.module = module
        self.adam = torch.optim.Adam(module.decoder.parameters(), lr=1e-3, fused=fused)

    def steps(self, batches: Batches) -> None:
        """A step for each batch."""
        for batch in batches:
            self.adam.zero_grad()
            self.module.loss(batch).backward()
            self.adam.step()


class Turns(Callback):
    """Gives each bare loop the batches that the Trainer just had, and times all of them."""

    def __init__(self, bare: dict[str, BareLoop], turn: int) -> None:
        self.bare = bare
        self.turn = turn
        self.spent: dict[str, list[Clocks]] = {"trainer": [], **{name: [] for name in bare}}
        self.captions = 0
        self.batches: list[dict[str, torch.Tensor]] = []
        self.began: Clocks = (0.0, 0.0)

    def on_train_epoch_start(self, *_: Any) -> None:
        """A turn that a validation interrupts does not count."""
        self.batches = []

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: dict[str, torch.Tensor], *_: Any) -> None:
        """At the end of the Trainer's turn, gives one to each bare loop."""
        if len(self.batches) == self.turn:
            self.end_turn()
        if not self.batches:
            self.began = clocks()
        self.batches.append(batch)

    def end_turn(self) -> None:
        self.note("trainer", self.began)
        for name, loop in self.bare.items():
            began = clocks()
            loop.steps(self.batches)
            self.note(name, began)
        self.captions += sum(len(batch["captions"]) for batch in self.batches)
        self.batches = []

    def note(self, name: str, began: Clocks) -> None:
        """Adds a turn's time."""
        now = clocks()
        self.spent[name].append((now[0] - began[0], now[1] - began[1]))


def clocks() -> Clocks:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.process_time(), time.perf_counter()


def measure(size: Size, run_dir: Path) -> Turns:
    wanted = config(size)
    captions = size.caption_set()
    words = Vocabulary.from_counts(captions.counts, 4) if size.captions else vocabulary(captions)
    train = split(captions, *size.features)
    val = split(caption_set(size.batch, size.words, WORDS), *size.features)
    data = CaptionData(train, val, words, wanted.training, 0, 0)

    def module() -> CaptionModule:
        torch.manual_seed(0)
        decoder = build_decoder(wanted.decoder, size.features, len(words))
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
    bare = {name: BareLoop(module().to(device), value) for name, value in fused.items()}
    for loop in bare.values():
        loop.steps([batch] * 5)
    turns = Turns(bare, size.turn)
    # the first to be called: what the other callbacks do at a step's start belongs to the Trainer's turn
    trainer.callbacks.insert(0, turns)  # type: ignore[attr-defined]
    with stop:
        trainer.fit(module(), datamodule=data)
    return turns


def main() -> None:
    os.environ["TTY_COMPATIBLE"] = "1"  # Rich draws its bar although the output is collected
    for name in sys.argv[1:] or SIZES:
        with TemporaryDirectory() as directory, quiet():
            turns = measure(SIZES[name], Path(directory))
        show(name, SIZES[name], turns)


def show(name: str, size: Size, turns: Turns) -> None:
    cpu, clock = ({kind: sum(pair[i] for pair in pairs) for kind, pairs in turns.spent.items()} for i in (0, 1))
    for kind in turns.spent:
        by_cpu, by_clock = cpu[kind] / cpu["trainer"], clock[kind] / clock["trainer"]
        ratios = f"the Trainer's over it: {by_cpu:.3f} by CPU time, {by_clock:.3f} by the clock"
        print(f"{name} {kind:12} {turns.captions / cpu[kind]:8.0f} captions per CPU second, {ratios}")
    at_least(size.figure, round(cpu["bare"] / cpu["trainer"], 3), size.target, "x")


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
