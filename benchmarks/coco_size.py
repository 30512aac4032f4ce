"""Figures: `experiment=coco` and `experiment=coco_attention` at COCO's size, from the first start to a resume.

    PYTHONPATH=src python benchmarks/coco_size.py [coco] [coco_attention] [--parts start]

590,000 captions, those of val2017 again and again, of 118,287 pictures, whose files are empty: an encoder that says
noise fills the store (of efficientnet_lite0's shape in float16: vectors make 0.3 GB, grids 14.8 GB, which are removed
afterwards), and from then on nobody opens a picture. Every run is `train.py` in a fresh process, with the store's file
out of the system's cache:

- with a decoder of 16, whose arithmetic is nothing, to the end of its first step, cold (captions to be tokenized, the
  store to be checked) and warm; and for 300 steps, for the memory that data take above what the imports do, and its
  growth (of the median). Pages of the mapped file are left out, since the system drops them when it needs room;
- as the recipe is, in turns of ten steps with a bare loop (forward, backward, Adam) over the same batches in memory.
  The figure is by the clock, because a loop that reads waits; other work on the machine meets both;
- stopped by a signal after a quarter of its steps, and resumed: the CPU time until its first step, the memory, and
  what it ends with, compared with what the other one did.

CPU seconds are counted from after the imports: they are what an idle machine's clock would say.
"""

import argparse
import copy
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from machine import DATA, at_least, at_most, report

ROOT = Path(__file__).resolve().parents[1]
SPLITS = {"train": (118_287, 590_000), "val": (500, 2_500)}
STEPS, TURN, PARTS = {"coco": 120, "coco_attention": 60}, 10, ["start", "training"]
SMALL = {
    "coco": ["decoder.hidden_size=16", "decoder.embedding_size=16"],
    "coco_attention": [f"decoder.{which}_size=16" for which in ("hidden", "embedding", "attention", "region")],
}


def make(root: Path) -> None:
    """Annotations and empty picture files, as COCO 2017 has them."""
    given = json.loads((DATA / "coco_captions_val2017.json").read_text(encoding="utf-8"))
    texts = [annotation["caption"] for annotation in given["annotations"]]
    (root / "annotations").mkdir(parents=True)
    for split, (pictures, captions) in SPLITS.items():
        (root / f"{split}2017").mkdir()
        images = [{"id": i, "file_name": f"{i:012d}.jpg"} for i in range(pictures)]
        for image in images:
            (root / f"{split}2017" / image["file_name"]).touch()
        notes = [{"id": i, "image_id": i % pictures, "caption": texts[i % len(texts)]} for i in range(captions)]
        content = json.dumps({"images": images, "annotations": notes})
        (root / "annotations" / f"captions_{split}2017.json").write_text(content)


class Noise:
    """An encoder that needs no picture."""

    def __init__(self, feature_shape: tuple[int, ...]) -> None:
        self.feature_shape = feature_shape
        self._said = torch.randn(1000, *feature_shape)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        start = int(torch.randint(1000 - len(pixels), ()))
        return self._said[start : start + len(pixels)]


def child(mode: str, words: list[str]) -> None:
    """`train.py` in this process; a line for each step with clock, CPU seconds and MB, and for each turn."""
    from showtell.launching.imports import postpone_torchmetrics, quick_imports

    with quick_imports():  # as launching.start does
        postpone_torchmetrics()
        from pytorch_lightning.callbacks import Callback

        import showtell.training.train as training

    began, libraries = clocks(), resident()

    class Watch(Callback):
        bare: BareLoop | None = None

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            now, step = clocks(), trainer.global_step
            clock, cpu = spent(began, now)
            say(step=step, clock=clock, cpu=cpu, memory=resident() - libraries)
            if mode in ("first", "store"):
                os._exit(0)
            if mode == "stop" and step == trainer.max_steps // 4:
                os.kill(os.getpid(), signal.SIGTERM)
            if mode == "turns":
                self.take_turns(module, batch, step, now)

        def take_turns(self, module: Any, batch: Any, step: int, now: tuple[float, float]) -> None:
            self.bare = self.bare or BareLoop(module)
            self.bare.batches.append(batch)
            if step % TURN == 0:
                self.bare.steps()
                if step > TURN:
                    say(turn=[spent(self.since, now), spent(now, clocks())])
                self.since = clocks()

    if mode == "store":
        from showtell.data.features.request import StoreRequest
        from showtell.models.encoders.encoding import FrozenEncoder

        FrozenEncoder.at_work = lambda self: Noise(self.network.feature_shape())
        StoreRequest.load = lambda self, row: torch.zeros(1)
    reports = training.reports
    training.reports = lambda *args: [*reports(*args), Watch()]
    sys.argv = ["train.py", *words]
    runpy.run_path("train.py", run_name="__main__")


class BareLoop:
    """Forward, backward and Adam on batches that were trained on, with a decoder of its own."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.decoder = copy.deepcopy(module.decoder)
        self.adam = torch.optim.Adam(self.decoder.parameters(), fused=True)
        self.batches: list[Any] = []

    def steps(self) -> None:
        """One for each batch, which are then forgotten."""
        from showtell.models.objective import CaptionBatch

        for batch in self.batches:
            self.adam.zero_grad()
            features = self.module.features(batch["images"])
            given = CaptionBatch(features, batch["captions"], batch["picture_ids"])
            with torch.enable_grad(), self.module.trainer.precision_plugin.forward_context():
                self.module.objective(self.decoder, given)[0].backward()
            self.adam.step()
        self.batches.clear()


def clocks() -> tuple[float, float]:
    """Of the wall, and of this process's CPU time."""
    return time.perf_counter(), time.process_time()


def spent(before: tuple[float, float], now: tuple[float, float]) -> tuple[float, float]:
    """Of both clocks."""
    return now[0] - before[0], now[1] - before[1]


def resident() -> float:
    """MB that this process holds, without pages of files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) / 1e3


def say(**what: Any) -> None:
    print("SEEN " + json.dumps(what), flush=True)


def run(mode: str, root: Path, *words: str) -> list[dict[str, Any]]:
    """What a fresh process says, whose features come from the disk."""
    for path in root.glob("cache/features/*/features.bin"):
        with path.open() as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    done = subprocess.run(
        [sys.executable, __file__, "--child", mode, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    if done.returncode != (143 if mode == "stop" else 0):
        raise SystemExit(f"{mode}: exit code {done.returncode}\n{done.stdout}")
    return [json.loads(line.removeprefix("SEEN ")) for line in done.stdout.splitlines() if line.startswith("SEEN ")]


def leaves(value: Any) -> Iterator[Any]:
    """The tensors and numbers of nested containers, in order."""
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield value


def trained(directory: Path) -> list[Any]:
    """Weights and optimizer of a run's last checkpoint."""
    found = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)
    return [*leaves(found["state_dict"]), *leaves(found["optimizer_states"])]


def measure(name: str, root: Path, parts: list[str]) -> None:
    """All figures of an experiment."""
    recipe = [
        f"experiment={name}",
        "encoder=efficientnet_lite0",
        "device=cpu",
        f"data.root={root}",
        f"cache={root}/cache",
    ]
    limits = ["training.limit_val_batches=1", "training.val_pictures=8", "training.sample_pictures=0"]

    def start(mode: str, directory: str, *more: str) -> list[dict[str, Any]]:
        found = run(mode, root, *recipe, *limits, *more, f"hydra.run.dir={root}/{directory}")
        return told(found, f"{name}, {mode}")

    start("store", "built")
    if "start" in parts:
        starting(name, root, lambda mode, directory: start(mode, directory, *SMALL[name], "training.max_steps=300"))
    if "training" in parts:
        training(name, root, lambda mode, directory: start(mode, directory, f"training.max_steps={STEPS[name]}"))


def told(found: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    """What a run said, told in a line."""
    first = next(one for one in found if "step" in one)
    print(f"{what}: the first step ended after {first['clock']:.1f} s, {first['cpu']:.1f} s CPU", flush=True)
    return found


Start = Callable[..., list[dict[str, Any]]]


def starting(name: str, root: Path, start: Start) -> None:
    """What data cost, before the first step and in memory."""
    (root / "cache" / "captions").rename(root / f"captions-{name}")
    cold, warm = (start("first", f"{number}")[0]["cpu"] for number in range(2))
    memory = [one["memory"] for one in start("plain", "small")]
    fifth = len(memory) // 5
    growth = median(memory[-fifth:]) - median(memory[fifth : 2 * fifth])
    where = f"at COCO's size, {name} with a decoder of 16"
    at_most(f"cold start to the first step {where}", round(cold, 1), 30, "s CPU")
    at_most(f"warm start to the first step {where}", round(warm, 2), 3, "s CPU")
    at_most(f"memory above the libraries {where}", round(max(memory) / 1e3, 2), 1.2, "GB")
    at_most(f"growth of memory from the second to the fifth fifth of the steps {where}", round(growth, 1), 20, "MB")


def training(name: str, root: Path, start: Start) -> None:
    """What the loop costs, and a resume."""
    turns = [one["turn"] for one in start("turns", "whole") if "turn" in one]
    halves = [start("stop", "cut"), told(run("plain", root, f"resume={root}/cut"), f"{name}, resumed")]
    clock, cpu = (sum(bare[i] for _, bare in turns) / sum(loop[i] for loop, _ in turns) for i in range(2))
    print(f"{name}: loop over bare steps {clock:.3f} by the clock, {cpu:.3f} by CPU time")
    differing = sum(
        not (torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b)
        for a, b in zip(trained(root / "whole"), trained(root / "cut"), strict=True)
    )
    where = f"at COCO's size, {name}"
    at_least(f"loop over bare steps with features in memory {where}, captions/s", round(clock, 3), 0.9, "x")
    memory = max(one["memory"] for steps in halves for one in steps)
    report(f"resume to its first step {where}", round(halves[1][0]["cpu"], 2), "s CPU", "-", True)
    report(f"memory above the libraries {where}", round(memory / 1e3, 2), "GB", "-", True)
    at_most(f"weights and moments that a resume changes {where}", differing, 0, "tensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", choices=[[], *STEPS])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args()
    for name in args.experiments or STEPS:
        with TemporaryDirectory() as directory:
            make(Path(directory))
            measure(name, Path(directory), args.parts)


if __name__ == "__main__":
    child(sys.argv[2], sys.argv[3:]) if sys.argv[1:2] == ["--child"] else main()
