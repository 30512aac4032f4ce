"""Figure: the second run of a sweep, everything warm, until its first step, over importing torch and Lightning.

Fresh processes in turns: `python -c "import torch, pytorch_lightning"`, and `python train.py --run DIRECTORY`, as a sweep
starts its jobs, on the embedded data until the end of its first step. User and system time of the process, because that
is what a run costs on a loaded machine; the smallest of three of each.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from machine import at_most

from showtell.run import Run

ROOT = Path(__file__).resolve().parents[1]
BARE = "import os, torch, pytorch_lightning; os._exit(0)"
FIRST_STEP = """
import os, runpy, sys
from showtell.launching.imports import postpone_torchmetrics, quick_imports
with quick_imports():  # as launching.start does
    postpone_torchmetrics()
    import showtell.training.train as training
    from pytorch_lightning.callbacks import Callback
class Stop(Callback):
    def on_train_batch_end(self, *_):
        os._exit(0)
reports = training.reports
training.reports = lambda *args: [*reports(*args), Stop()]
sys.argv = ["train.py", *sys.argv[1:]]
runpy.run_path("train.py", run_name="__main__")
"""


def spent(*command: str) -> float:
    """CPU seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    with TemporaryDirectory() as root:
        words = [
            f"cache={root}/cache", f"data.root={root}/shapes", f"hydra.run.dir={root}/run", "device=cpu",
            "data.shapes.train_pictures=100", "data.shapes.val_pictures=20",
        ]  # fmt: skip
        spent("train.py", *words, "training.max_epochs=1")
        second = Run(f"{root}/second")
        second.create(Run(f"{root}/run").config())
        pairs = [(spent("-c", BARE), spent("-c", FIRST_STEP, "--run", str(second))) for _ in range(3)]
    print("imports, run:", *(f"{bare:.2f}, {run:.2f};" for bare, run in pairs))
    bare, run = (min(times) for times in zip(*pairs, strict=True))
    print(f"imports {bare:.2f} s, until the first step {run:.2f} s")
    at_most(
        "second run of a sweep until its first step, over the import of torch and Lightning",
        round(run / bare, 2),
        2,
        "x",
    )


if __name__ == "__main__":
    main()
