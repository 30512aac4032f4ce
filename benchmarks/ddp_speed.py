"""Figure: training with two ranks (DDP, gloo, one thread each) over one process with one thread, same global batch.

    PYTHONPATH=src python benchmarks/ddp_speed.py [GLOBAL_BATCH]

The Trainer is the one of every run, on random features and captions of 11 words: hidden 512, vocabulary 7,000, some 12
million weights, whose gradients the ranks exchange in every step. One process and two ranks take turns, three times,
each turn in fresh processes; the first steps are left out, and the fastest turn of each counts.

Two figures. The clock's is what a user sees, and means something where two cores are free: on a machine whose cores have
other work, two ranks get no more of it than one process. The other is the CPU time of one process over that of the
busier rank: what is left on a rank's core when the batch is halved, exchange of gradients included, waiting for the
other rank not.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytorch_lightning as pl
import torch
from machine import at_least, report
from pytorch_lightning.callbacks import Callback
from synthetic import caption_set, split, vocabulary

from showtell.checkpointing.stop import GracefulStop
from showtell.config import parse
from showtell.data.module import CaptionData
from showtell.distributed import RENDEZVOUS, get_ranks, process_group, ranks_of_environment
from showtell.launching.launcher import environment_of_rank
from showtell.models.decoders.base import build_decoder
from showtell.models.encoders.encoding import LazyEncoder
from showtell.models.module import CaptionModule
from showtell.models.scores import Scores
from showtell.objectives.cross_entropy import CrossEntropy
from showtell.training.trainer import build_trainer

HIDDEN, WORDS, VOCABULARY, FEATURES, BATCH = 512, 11, 6997, 2048, 200
WARM, STEPS, TURNS = 3, 15, 3


class Stopwatch(Callback):
    """Clock and CPU seconds of the steps after the first ones."""

    def __init__(self) -> None:
        self.began = self.ended = (0.0, 0.0)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.ended = (time.perf_counter(), time.process_time())
        if trainer.global_step == WARM:
            self.began = self.ended

    @property
    def spent(self) -> list[float]:
        """Per step."""
        return [(end - begin) / (STEPS - WARM) for begin, end in zip(self.began, self.ended, strict=True)]


def train(batch: int, run_dir: Path, result: Path) -> None:
    torch.set_num_threads(1)
    ranks = get_ranks()
    config = parse(
        {
            "decoder": {"hidden_size": HIDDEN},
            "device": {"accelerator": "cpu", "devices": ranks.size},
            "training": {"batch_size": batch, "max_epochs": 1, "max_steps": STEPS, "limit_val_batches": 1},
        }
    )
    captions = caption_set(batch * (STEPS + 1), VOCABULARY, WORDS)
    data = split(captions, FEATURES)
    words = vocabulary(captions)
    watch = Stopwatch()
    module = CaptionModule(
        LazyEncoder(config.encoder),
        build_decoder(config.decoder, (FEATURES,), len(words)),
        words,
        CrossEntropy(),
        training=config.training,
        decoding=config.decoding,
    )
    loader = CaptionData(data, data, words, config.training, config.seed, 0, ranks)
    stop = GracefulStop()
    run_dir.mkdir(exist_ok=True)
    with stop:
        build_trainer(config, run_dir, loader, [watch, Scores({}, dict)], stop, None).fit(module, datamodule=loader)
    result.with_suffix(f".{ranks.rank}").write_text(json.dumps(watch.spent))


def turn(count: int, batch: int, folder: Path) -> tuple[float, float]:
    """Clock seconds per step, and CPU seconds of the busier rank."""
    result = folder / f"result{count}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", RENDEZVOUS: str(folder / f"rendezvous{time.monotonic_ns()}")}
    processes = []
    for rank in range(count):
        own = environment_of_rank(rank, count) if count > 1 else {}
        command = [sys.executable, __file__, "rank", str(batch), str(folder / f"run{count}"), str(result)]
        processes.append(subprocess.Popen(command, env=environment | own, stdout=subprocess.DEVNULL))
    if any([process.wait() for process in processes]):
        raise SystemExit("a rank failed")
    spent = [json.loads(result.with_suffix(f".{rank}").read_text()) for rank in range(count)]
    return max(clock for clock, _ in spent), max(cpu for _, cpu in spent)


def main(batch: int) -> None:
    with TemporaryDirectory() as folder:
        turns = [[turn(count, batch, Path(folder)) for count in (1, 2)] for _ in range(TURNS)]
    for number, ((clock, cpu), (clocks, cpus)) in enumerate(turns):
        print(f"turn {number}: 1 process {clock:.3f} s ({cpu:.3f} CPU) a step, 2 ranks {clocks:.3f} ({cpus:.3f} CPU)")
    clock, cpu = (min(alone[i] for alone, _ in turns) / min(ranks[i] for _, ranks in turns) for i in (0, 1))
    what = f"hidden {HIDDEN}, vocabulary 7,000, global batch {batch}"
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    at_least(f"2 ranks over 1 process by the clock, {what}", round(clock, 3), 1.6, "x")
    report(f"2 ranks over 1 process by CPU time of the busier rank, {what}", round(cpu, 3), "x", "-", True)


def run_rank(batch: int, run_dir: Path, result: Path) -> None:
    ranks = ranks_of_environment()
    if ranks is None:
        train(batch, run_dir, result)
        return
    with process_group(ranks, "cpu", 1800):
        train(batch, run_dir, result)


if __name__ == "__main__":
    if sys.argv[1:2] == ["rank"]:
        run_rank(int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else BATCH)
