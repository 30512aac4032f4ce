"""Figure: one photograph from a cold start, `python predict.py RUN PICTURE`, over `python -c "import torch"`.

Fresh processes in turns, each from its start to its end; user and system time, because other work on the machine delays
the clock, which is printed beside it; the smallest of five of each. The run is trained here, on the embedded data with
the offline encoder at its own size and the decoder of `experiment=demo`; how well does not matter.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from machine import at_most

ROOT = Path(__file__).resolve().parents[1]


def spent(*command: str) -> tuple[float, float]:
    """Seconds of the CPU and by the clock of a process."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    after, passed = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, passed


def main() -> None:
    with TemporaryDirectory() as root:
        spent(
            "train.py", "experiment=demo", f"cache={root}/cache", f"data.root={root}/shapes", f"hydra.run.dir={root}/run",
            "device=cpu", "data.shapes.train_pictures=50", "data.shapes.val_pictures=10", "training.max_epochs=1",
            "encoder.image_size=224",
        )  # fmt: skip
        picture = str(next(Path(root, "shapes", "val").glob("*.*g")))
        pairs = [(spent("-c", "import torch"), spent("predict.py", f"{root}/run", picture)) for _ in range(5)]
    bare, caption = (min(one) for one in zip(*pairs, strict=True))
    print(
        *(
            f"{name} {cpu:.2f} s CPU, {clock:.2f} s by the clock;"
            for name, (cpu, clock) in (("torch", bare), ("caption", caption))
        )
    )
    at_most("one photograph from a cold start, over the import of torch", round(caption[0] / bare[0], 2), 1.7, "x")


if __name__ == "__main__":
    main()
