"""Figures: how long a person looks at an empty screen: until the first line, and until the first bar.

Fresh processes in turns: `python -c "import torch, pytorch_lightning"`, and `python train.py` on the embedded data in a
pseudo-terminal, cold (nothing drawn yet) and warm. CPU seconds of the process, because other work on the machine delays
the clock, beyond those of the imports of the same round; the clock is printed beside them. The median of three rounds.
A first line that comes before the imports are over counts as 0.
"""

import os
import pty
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from machine import at_most

ROOT = Path(__file__).resolve().parents[1]
BARE = "import os, torch, pytorch_lightning; os._exit(0)"
BARS = ("━", "─")


Spent = tuple[float, float]
"""By the clock, and of the CPU."""


def imports() -> Spent:
    """What the bare imports take."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", BARE], cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seen(*words: str) -> tuple[Spent, Spent]:
    """What it takes until `train.py` has written anything, and until it has drawn a bar; it is ended then."""
    began, said, first = time.perf_counter(), b"", (0.0, 0.0)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.environ["PYTHONPATH"] = str(ROOT / "src")
        os.execv(sys.executable, [sys.executable, "train.py", *words])
    now = first
    try:
        while not any(bar.encode() in said for bar in BARS):
            said += os.read(terminal, 65536)
            now = time.perf_counter() - began, cpu_of(pid)
            first = first if any(first) else now
        return first, now
    except OSError:
        raise SystemExit(f"train.py ended before its first bar: {said.decode(errors='replace')}") from None
    finally:
        os.kill(pid, 9)
        os.close(terminal)
        os.waitpid(pid, 0)


def main() -> None:
    beyond: dict[str, list[float]] = {"line": [], "cold": [], "warm": []}
    with TemporaryDirectory() as root:
        size = ["device=cpu", "data.shapes.train_pictures=400", "data.shapes.val_pictures=40"]
        words = [*size, f"cache={root}/cache", f"data.root={root}/shapes"]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        warm_up = [sys.executable, "train.py", *words, f"hydra.run.dir={root}/run", "training.max_epochs=1"]
        subprocess.run(warm_up, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        for number in range(3):
            bare = imports()
            elsewhere = [f"cache={root}/cache{number}", f"data.root={root}/shapes{number}"]
            line, cold = seen(*size, *elsewhere, f"hydra.run.dir={root}/cold{number}")
            _, warm = seen(*words, f"hydra.run.dir={root}/warm{number}")
            measured = {"imports": bare, "line": line, "cold": cold, "warm": warm}
            print(*(f"{name} {spent[0]:.2f} s ({spent[1]:.2f} s CPU)" for name, spent in measured.items()), flush=True)
            for name in beyond:
                beyond[name].append(max(0.0, measured[name][1] - bare[1]))
    found = {name: round(statistics.median(values), 2) for name, values in beyond.items()}
    at_most("time to the first line of train.py, beyond the imports", found["line"], 0.5, "s CPU")
    at_most("time to the first bar of train.py, nothing drawn, beyond the imports", found["cold"], 3, "s CPU")
    at_most("time to the first bar of train.py, all stored, beyond the imports", found["warm"], 3, "s CPU")


if __name__ == "__main__":
    main()
