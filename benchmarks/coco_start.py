"""Figures: at COCO's size, seconds from imported libraries to the end of the first step, and the memory of training.

    PYTHONPATH=src python benchmarks/coco_start.py

Cold: the captions are tokenized (the feature store is there, as building it has a figure of its own). Warm: the second
start. Both are `training.train` with `max_steps=1`, each in a fresh process, timed from after the imports to the end of
the first step; one process does it all, so CPU time is what an idle machine's clock would say, and the clock is printed
beside it. Memory is the resident set of a process that trains five epochs of 60 steps with features mapped
from disk, above what it was after the imports; pages of the mapped file are counted apart, since the system drops them
when it needs room. `coco_size.py` makes the data.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from machine import at_most


def resident() -> dict[str, float]:
    """MB of this process: own (anonymous) and mapped pages."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {key: int(lines[key].split()[0]) / 1e3 for key in ("RssAnon", "RssFile")}


def child(root: Path, mode: str) -> None:
    """One run in this process: `start` ends after a step, `epochs` trains and looks at its memory."""
    from coco_size import parsed, store
    from pytorch_lightning.callbacks import Callback

    import showtell.training.train as training

    if mode == "store":
        return store(parsed(root))
    before, began = resident(), [time.perf_counter(), time.process_time()]
    seen: list[Any] = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 1:
                seen.append([time.perf_counter() - began[0], time.process_time() - began[1]])
                if mode == "start":
                    print("SEEN " + json.dumps(seen), flush=True)
                    os._exit(0)

        def on_train_epoch_end(self, *_: Any) -> None:
            now = resident()
            seen.append({key: now[key] - before[key] for key in now})

    reports = training.reports
    training.reports = lambda *args: [*reports(*args), Watch()]  # type: ignore[assignment]
    limits = {"max_epochs": 5, "limit_train_batches": 60}
    with TemporaryDirectory() as run_dir:
        # random weights travel with a run; published ones, which COCO is trained with, do not
        (Path(run_dir) / "checkpoints").mkdir()
        (Path(run_dir) / "checkpoints" / "encoder.pt").touch()
        training.train(parsed(root, limit_val_batches=1, **limits), Path(run_dir))
    print("SEEN " + json.dumps(seen))


def run(root: Path, mode: str) -> list[Any]:
    """The same in a fresh process."""
    done = subprocess.run([sys.executable, __file__, str(root), mode], check=True, stdout=subprocess.PIPE, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("SEEN ")]
    return json.loads(lines[0].removeprefix("SEEN ")) if lines else []


def main() -> None:
    from coco_size import make

    with TemporaryDirectory() as directory:
        root = Path(directory)
        make(root)
        run(root, "store")
        tokenized = root / "cache" / "captions"
        tokenized.rename(root / "kept")
        cold = run(root, "start")[0]
        warm = min((run(root, "start")[0] for _ in range(3)), key=lambda spent: spent[1])
        print(f"cold {cold[0]:.1f} s ({cold[1]:.1f} s CPU), warm {warm[0]:.1f} s ({warm[1]:.1f} s CPU)")
        at_most("cold start to the first step, 414,000 captions", round(cold[1], 1), 30, "s CPU")
        at_most("warm start to the first step, 414,000 captions", round(warm[1], 2), 3, "s CPU")
        epochs = run(root, "epochs")[1:]
    for number, memory in enumerate(epochs):
        print(f"after epoch {number}: own {memory['RssAnon']:.0f} MB, mapped {memory['RssFile']:.0f} MB")
    own = [memory["RssAnon"] for memory in epochs]
    whole = max(memory["RssAnon"] + memory["RssFile"] for memory in epochs)
    at_most("memory above the libraries, 414,000 captions, features mapped", round(whole / 1e3, 2), 1.2, "GB")
    at_most("growth of own memory from the 2nd to the 5th epoch", round(own[-1] - own[1], 1), 20, "MB")


if __name__ == "__main__":
    child(Path(sys.argv[1]), sys.argv[2]) if len(sys.argv) > 1 else main()
