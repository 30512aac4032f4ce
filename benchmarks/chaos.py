"""Disturbs a sweep of small runs in every way at random, and compares what comes of it with runs that nobody touched.

    python benchmarks/chaos.py --minutes 6 [--seed 0] [--tries N] [--folder DIR]

First the twins: four tiny runs of one sweep, left alone. Then the same sweep in a new folder with a new cache, in rounds
until the time is over or N disturbances were made: at random moments it is killed, asked to stop, suspended, its terminal
closed, its disk filled, its files kept from growing, a second process sent into a run directory; between starts, bits of
its cache are flipped, files cut, swapped and removed. The same command is given until all runs have finished. Then each
must be its twin bit for bit (weights, optimizer, logs, captions, status; not the clock), and nothing may be left behind:
no process, no file that the twins' folder has not. Tracebacks, hangs and exit codes that were not promised are faults.

The seed fixes kinds, order, delays and bits; the moments are the clock's, so the same seed strikes elsewhere the next
time. Linux; a disk is filled where root may mount a small one. Ends with a table, and with 1 if there is a fault.
"""

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from tests.conftest import as_words, draw_coco, merged, tiny_settings  # noqa: E402
from tests.data.test_damage import MARKS, cut, flip  # noqa: E402
from tests.reliability.outcome import differences, outcome  # noqa: E402
from tests.reliability.terminal import ENVIRONMENT, TRAIN, InTerminal  # noqa: E402

from showtell.run import DONE, Run  # noqa: E402

WHOM, SIGNALS = ("a run", "a supervisor", "the sweep"), ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
PROMISED = {0, 1, 2, *(128 + getattr(signal, name) for name in SIGNALS)}
PATIENCE = 300  # seconds after which a sweep hangs
PER_ROUND = 12  # disturbances, so that each round comes to its end
ALONE = 4  # starts without a disturbance after which all runs must have finished
NOBODY, HUNG = "nobody there", 999
VARIED = {"seed": "1,2", "training.accumulate_batches": "1,2", "sweep.jobs": "2", "hydra.sweep.dir": "runs"}
TRAINING = {"max_epochs": 20, "batch_size": 5, "sample_pictures": 1, "checkpoint_every_steps": 1}


class Sweep(InTerminal):
    """The sweep's command in a terminal of its own, in a folder."""

    def processes(self, whose: str = "") -> list[int]:
        """All that work in the folder; or `a run`, `a supervisor`, `the sweep`."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = (folder / "cmdline").read_bytes().decode(errors="replace")
                kind = "a supervisor" if "supervisor" in command else "a run" if "--run" in command else "the sweep"
                if (folder / "cwd").readlink() == self.place and whose in ("", kind):
                    found.append(int(folder.name))
        return sorted(found)

    def lives(self, seconds: float) -> bool:
        """Whether it goes on so long."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.poll() is None

    def end(self) -> tuple[int, list[int]]:
        """The exit code as a shell says it, and what outlives it by a minute; one that hangs is killed: HUNG."""
        hangs = self.lives(PATIENCE)
        for pid in self.processes() if hangs else ():
            send("SIGKILL", pid)
        until, code = time.monotonic() + 60, self.process.wait()
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(0.2)  # a supervisor lets its run save
        self.close()
        return HUNG if hangs else 128 - code if code < 0 else code, left


def send(name: str, pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, getattr(signal, name))


class Chaos:
    """Rounds of disturbances, what was done, and what was wrong."""

    def __init__(self, folder: Path, rng: random.Random, tries: int, disk: bool) -> None:
        self.folder, self.rng, self.tries, self.until = folder, rng, tries, 0.0
        settings = merged(tiny_settings(draw_coco(folder / "pictures"), Path("cache")), training=TRAINING)
        self.words = [word for word in as_words(settings) if word.partition("=")[0] not in VARIED]
        self.words += [f"{key}={value}" for key, value in VARIED.items()]
        self.done: dict[str, Counter[str]] = defaultdict(Counter)
        self.faults: list[str] = []
        self.compared = self.equal = self.starts = 0
        self.live: dict[str, Callable[[Sweep], str | None]] = {
            **{f"{name} to {whom}": partial(self.strike, name, whom) for whom in WHOM for name in SIGNALS},
            "closed terminal": InTerminal.close,
            "SIGSTOP, then SIGCONT": self.suspend,
            "second process in a run": self.intrude,
            "files that cannot grow": self.limit,
            **({"full disk": self.fill} if disk else {}),
        }
        self.resting: dict[str, Callable[[Path], Any]] = {
            "flipped bit in the cache": lambda file: flip(file, rng) if file.stat().st_size else None,
            "cut file of the cache": lambda file: cut(file, rng) if file.stat().st_size else None,
            "removed file of the cache": Path.unlink,
            "swapped files of the cache": self.swap,
        }
        self.bag: list[str] = []  # all kinds in a random order, then again

    def wait(self, whom: str, sweep: Sweep) -> list[int]:
        """Its processes of a kind, some time after there is one."""
        seconds = self.rng.uniform(0, 3)
        while not sweep.processes(whom) and sweep.lives(0.1):
            pass
        return sweep.processes(whom) if sweep.lives(seconds) else []

    def strike(self, name: str, whom: str, sweep: Sweep) -> str | None:
        found = self.wait(whom, sweep)
        if found:
            send(name, self.rng.choice(found))
        return None if found else NOBODY

    def suspend(self, sweep: Sweep) -> None:
        """Some of its processes wait for a few seconds."""
        chosen = [pid for pid in sweep.processes() if self.rng.random() < 0.6]
        for name, seconds in (("SIGSTOP", self.rng.uniform(1, 4)), ("SIGCONT", 0)):
            for pid in chosen:
                send(name, pid)
            time.sleep(seconds)

    def intrude(self, sweep: Sweep) -> str:
        """Trains in the directory of a run that is being trained; it must be refused, unless that has ended."""
        running = [run for run in runs_in(sweep.place) if (status := run.status()) and status.state == "running"]
        if not running:
            return NOBODY
        command = [*TRAIN, "--run", str(self.rng.choice(running))]
        ended = subprocess.run(command, cwd=sweep.place, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        if ended.returncode not in (0, 2) or "Traceback" in ended.stderr:
            self.faults.append(f"second process: exit code {ended.returncode}: {ended.stderr[-2000:]}")
        return "refused" if "trains there" in ended.stderr else f"exit code {ended.returncode}: the run had ended"

    def limit(self, sweep: Sweep) -> str | None:
        """From now on no file of one of its processes may grow beyond some bytes."""
        found = self.wait(self.rng.choice(WHOM), sweep)
        with suppress(ProcessLookupError, IndexError):
            sizes = (self.rng.choice([100, 5_000, 100_000]), resource.RLIM_INFINITY)
            resource.prlimit(self.rng.choice(found), resource.RLIMIT_FSIZE, sizes)
            return None
        return NOBODY

    def fill(self, sweep: Sweep) -> str | None:
        """Not a byte is free for some seconds."""
        if not self.wait("a run", sweep):
            return NOBODY
        filler, found = sweep.place.parent / "filler", os.statvfs(sweep.place)
        with filler.open("wb") as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize)
        time.sleep(self.rng.uniform(0.5, 8))
        filler.unlink()
        return None

    def swap(self, file: Path) -> None:
        """Gives two files each other's name."""
        cache = next(folder for folder in file.parents if folder.name == "cache")
        other, aside = self.rng.choice(cache_files(cache)), cache / "aside"
        for old, new in ((file, aside), (other, file), (aside, other)):
            if old.exists():  # it may be the same file
                old.rename(new)

    def more(self) -> bool:
        return time.monotonic() < self.until and sum(map(Counter.total, self.done.values())) < self.tries

    def round(self, place: Path) -> None:
        """The sweep from its beginning to its end."""
        (place / "temporary").mkdir(parents=True)
        made = alone = 0
        while alone < ALONE and not (alone and finished(place)):
            most, before = 0 if finished(place) else PER_ROUND, made
            sweep, waiting = Sweep(["-m", *self.words], place, TMPDIR=str(place / "temporary")), list[str]()
            while self.more() and made < most and sweep.lives(self.rng.uniform(0.5, 9)):
                self.bag = self.bag or self.rng.sample(kinds := [*self.live, *self.resting], len(kinds))
                kind, made = self.bag.pop(), made + 1
                if kind in self.live:
                    self.note(kind, self.live[kind](sweep))
                else:
                    waiting.append(kind)
            alone += made == before
            self.check(sweep, PROMISED if made > before else {0})
            for kind in waiting:
                found = cache_files(place / "cache")
                self.note(kind, self.resting[kind](self.rng.choice(found)) if found else NOBODY)
        self.compare(place)

    def check(self, sweep: Sweep, promised: set[int]) -> None:
        code, left = sweep.end()
        self.starts += 1
        print(f"  the sweep ended with {code}", flush=True)
        if code not in promised or "Traceback" in sweep.said:
            self.faults.append(f"exit code {code}: {sweep.said[-4000:]}")
        self.faults += [f"processes left behind: {left}"] * bool(left)

    def compare(self, place: Path) -> None:
        """Each run with its twin, and all files with those of the twins."""
        for twin in runs_in(self.folder / "twins"):
            run = Run(place / "runs" / twin.directory.name)
            found = differences(outcome(twin.directory), outcome(run.directory)) if is_done(run) else ["not finished"]
            self.compared, self.equal = self.compared + 1, self.equal + (not found)
            log = run.log_file.read_text(errors="replace") if run.log_file.is_file() else ""
            self.faults += [f"{run}: {line}" for line in (*found, "".join(log.partition("Traceback")[1:])) if line]
        self.faults += [f"left behind: {place / name}" for name in files(place) - files(self.folder / "twins")]

    def note(self, kind: str, result: str | None) -> None:
        self.done[kind][result or ""] += 1
        print(f"  {kind}  {result or ''}", flush=True)

    def table(self) -> int:
        """Prints what was done and found; the exit code."""
        print(f"\n{'disturbance':30}  made")
        made = {kind: self.done[kind].total() - self.done[kind][NOBODY] for kind in (*self.live, *self.resting)}
        for kind, number in made.items():
            rest = ", ".join(f"{number} {what}" for what, number in self.done[kind].items() if what and number)
            print(f"{kind:30}{number:6}  {rest}".rstrip())
        print(f"{sum(made.values())} disturbances, {self.starts} starts;", end=" ")
        print(
            f"{self.equal} of {self.compared} runs are their twins; {len(self.faults)} faults", *self.faults, sep="\n"
        )
        return int(bool(self.faults))


def runs_in(place: Path) -> list[Run]:
    return [Run(path.parent) for path in sorted(place.glob("runs/*/status.json"))]


def is_done(run: Run) -> bool:
    return (status := run.status()) is not None and status.state in DONE


def finished(place: Path) -> bool:
    return sum(map(is_done, runs_in(place))) == 4


def cache_files(cache: Path) -> list[Path]:
    """Derived files, which may be damaged."""
    found = sorted(file for file in cache.rglob("*") if file.is_file() and file.name not in MARKS)
    return [file for file in found if file.suffix not in (".lock", ".tmp")]


def files(place: Path) -> set[str]:
    """Their names; TensorBoard's have the time in them."""
    found = (path for path in place.rglob("*") if path.is_file() and ".tfevents." not in path.name)
    return {str(path.relative_to(place)) for path in found}


def main(minutes: float, seed: int, tries: int, folder: Path) -> int:
    """Makes the twins, and rounds until time or tries are over or something is wrong."""
    (disturbed := folder / "disturbed").mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", str(disturbed)]
    disk = os.geteuid() == 0 and not subprocess.run(mount, capture_output=True, check=False).returncode
    try:
        chaos = Chaos(folder, random.Random(seed), tries, disk)
        print("twins" if disk else "no small disk can be mounted here, so none is filled; twins", flush=True)
        chaos.round(folder / "twins")
        chaos.starts = chaos.compared = chaos.equal = number = 0
        chaos.until = time.monotonic() + 60 * minutes
        while chaos.more() and not chaos.faults:
            number += 1
            print(f"round {number}", flush=True)
            chaos.round(place := disturbed / f"round-{number}")
            if chaos.faults:
                shutil.copytree(place, folder / "faulty")
            shutil.rmtree(place)
    finally:
        if disk:
            subprocess.run(["umount", "-l", str(disturbed)], check=True)
    return chaos.table()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tries", type=int, default=10**6, help="disturbances after which it ends")
    parser.add_argument("--folder", type=Path, help="where all of it goes and stays; a temporary one if left out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(options.minutes, options.seed, options.tries, (options.folder or Path(temporary)).resolve()))
