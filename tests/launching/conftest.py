"""The real train.py with several ranks, in a process of its own whose ranks can be found and struck."""

import csv
import fcntl
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import REPOSITORY, as_words, wait_until

TRAIN = REPOSITORY / "train.py"


def rows(run_dir: Path) -> list[dict[str, str]]:
    """What was logged, without speeds."""
    try:
        with (run_dir / "metrics.csv").open() as file:
            return [{k: v for k, v in row.items() if "per_second" not in k} for row in csv.DictReader(file)]
    except FileNotFoundError:
        return []


def steps(run_dir: Path) -> int:
    return sum(bool(row.get("train/loss")) for row in rows(run_dir))


def numbers(run_dir: Path) -> list[tuple[str, float]]:
    """Everything that was logged, in order."""
    return [(key, float(value)) for row in rows(run_dir) for key, value in row.items() if value]


def alive(folder: Path) -> dict[int, str]:
    """Living processes that work in a folder: process id -> rank, or nothing for one that is no rank."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            place = (process / "cwd").readlink()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            variables = (process / "environ").read_bytes().split(b"\0")
        except (OSError, ValueError):
            continue
        if place == folder and state != "Z" and int(process.name) != os.getpid():
            rank = next((v.partition(b"=")[2].decode() for v in variables if v.startswith(b"RANK=")), "")
            found[int(process.name)] = rank
    return found


def watches(pid: int) -> bool:
    return b"showtell.launching.watcher" in Path(f"/proc/{pid}/cmdline").read_bytes()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])


class Training:
    """A command that trains in `run_dir`; a terminal may control it."""

    def __init__(self, command: list[str], folder: Path, run_dir: Path, terminal: int | None = None) -> None:
        self.folder = folder
        self.run_dir = run_dir
        self.log = folder / f"{run_dir.name}-{time.monotonic_ns()}.txt"
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=terminal,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=None if terminal is None else lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self, seconds: float = 300) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.said}") from None

    def reach(self, step: int) -> None:
        """Waits until so many steps are logged."""
        wait_until(lambda: steps(self.run_dir) >= step or self.process.poll() is not None, 200)
        assert self.process.poll() is None, self.said

    def pid_of(self, rank: int) -> int:
        return next(pid for pid, number in alive(self.folder).items() if number == str(rank) and not watches(pid))

    def left(self) -> dict[int, str]:
        return alive(self.folder)

    def kill(self) -> None:
        """Everything at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)


class Clock:
    """Stands in for `time` in a module that watches others; the test moves it."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


class Start:
    """Starts trainings: `start("run", "device=ddp", ...)` with words of the command line."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.settings = settings
        self.all: list[Training] = []

    def words(self, run_dir: Path) -> list[str]:
        return [*as_words(self.settings, "device"), "hydra/job_logging=none", f"hydra.run.dir={run_dir}"]

    def __call__(self, name: str, *words: str, before: tuple[str, ...] = (), terminal: int | None = None) -> Training:
        run_dir = self.folder / name
        return self.raw([*before, str(TRAIN), *self.words(run_dir), *words], run_dir, terminal)

    def ranks(self, name: str, *words: str, count: int = 2, terminal: int | None = None) -> Training:
        device = ("device=ddp", f"device.devices={count}", "device.accelerator=cpu")
        return self(name, *device, *words, terminal=terminal)

    def torchrun(self, name: str, *words: str, machines: int = 1) -> list[Training]:
        """Two ranks, on one machine or each on a machine of its own, which is one more torchrun on this one.

        Each machine would choose a folder of its own; rank 0's is taken.
        """
        rendezvous = ("--rdzv_backend=c10d", f"--rdzv_endpoint=localhost:{free_port()}", "--rdzv_id=showtell")
        numbers = (f"--nnodes={machines}", f"--nproc_per_node={2 // machines}")
        before = ("-m", "torch.distributed.run", *rendezvous, *numbers)
        words = ("device=ddp", "device.accelerator=cpu", *words)
        return [self(f"{name}{number}", *words, before=before) for number in range(machines)]

    def resumed(self, training: Training, *words: str) -> Training:
        return self.raw([str(TRAIN), f"resume={training.run_dir}", "hydra/job_logging=none", *words], training.run_dir)

    def raw(self, words: list[str], run_dir: Path, terminal: int | None = None) -> Training:
        self.all.append(Training([sys.executable, *words], self.folder, run_dir, terminal))
        return self.all[-1]


@pytest.fixture
def start(tmp_path: Path, tiny_overrides: dict[str, Any]) -> Iterator[Start]:
    """Trainings on the tiny data set, nothing of which outlives the test.

    Batches of 23 of 24 captions leave batches of one caption, in which one of two ranks has no row.
    """
    settings = dict(tiny_overrides)
    settings["training"] = {**settings["training"], "batch_size": 23, "max_epochs": 13}
    start = Start(tmp_path, settings)
    yield start
    for training in start.all:
        training.kill()


def set_section(start: Start, section: str, **values: Any) -> None:
    start.settings[section] = {**start.settings.get(section, {}), **values}
