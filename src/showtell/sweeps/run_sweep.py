"""A whole sweep: its jobs on their backend, `slots` at a time, the list of failures, the leaderboard.

A job is asked for only when there is room for it, so a search can learn from the runs before. What happens to one job
is no other job's business: its end, in whatever way, frees its slot and becomes a result.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from showtell.config import Config, ConfigError
from showtell.errors import UserError, one_line
from showtell.leaderboard.build import write_leaderboard
from showtell.processes import SIGNALS, catching, train_command
from showtell.sweeps.backends import Backend, Launch, LocalBackend, Process
from showtell.sweeps.clusters import RayBackend, SlurmBackend
from showtell.sweeps.display import Display, summary
from showtell.sweeps.job import Job, Result, ToDo, busy, classify_exit, fix_status
from showtell.terminal import unfailing_output

POLL_SECONDS = 0.1
STOP_SECONDS = 120.0
LOOK_SECONDS = 5.0
OnResult = Callable[[Result], None]


def run_sweep(
    jobs: Iterable[Job],
    total: int,
    config: Config,
    folder: Path,
    on_result: OnResult = lambda result: None,
    before: Sequence[Path] = (),
) -> int:
    """Runs all jobs, compares their runs, and tells what failed.

    Args:
        jobs: asked for one at a time.
        total: how many there will be.
        config: of the sweep.
        folder: where the leaderboard goes.
        on_result: is told each result as it comes.
        before: runs that belong to the comparison although there is nothing to do for them.

    Returns:
        The exit code: 0, 1 when a run is missing, 128 + n when a signal stopped the sweep.

    Raises:
        ConfigError: the backend cannot be used.
    """
    backend = build_backend(config, folder)
    with unfailing_output():
        display = Display(total)
        runner = Runner(backend, display, on_result)
        display.note(f"{total} jobs, {min(backend.slots, total)} at once, in {folder}")
        results = runner.run(jobs)
        try:
            if runner.signal is None:
                write_leaderboard([*before, *(result.job.directory for result in results)], folder)
        finally:  # on a full disk, too, what failed is told
            display.note("\n" + summary(results, total))
    return 128 + runner.signal if runner.signal else int(any(result.failed for result in results))


def build_backend(config: Config, folder: Path) -> Backend:
    """The backend that `sweep.backend` names; a cluster's own files go into the folder.

    Raises:
        ConfigError: its library is not installed, or there is no cluster.
    """
    name = config.sweep.backend
    try:
        if name == "slurm":
            return SlurmBackend(config, folder / ".submitit")
        if name == "ray":
            return RayBackend(config)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"sweep.backend={name} needs {error.name}, which is not installed; pip install '.[{name}]'"
        ) from None
    except (RuntimeError, OSError) as error:  # no SLURM here, no Ray there
        raise ConfigError(f"sweep.backend={name}: {str(error).splitlines()[0]}") from None
    return LocalBackend(config)


class Runner:
    """Runs jobs on a backend; `signal` is the number of the signal that stopped the sweep, or None."""

    def __init__(self, backend: Backend, display: Display, on_result: OnResult = lambda result: None) -> None:
        self.backend = backend
        self.display = display
        self.on_result = on_result
        self.signal: int | None = None
        self._signals = 0
        self._asked: float | None = None
        self._looked, self._suspended = 0.0, set[int]()
        self._running: dict[int, tuple[Job, Process]] = {}

    def run(self, jobs: Iterable[Job]) -> list[Result]:
        """One result per job, in the order of their ends; jobs are asked for one at a time."""
        waiting = iter(jobs)
        with self.display, catching(SIGNALS, self._handle):
            try:
                while self._fill(waiting) or self._running:
                    time.sleep(POLL_SECONDS)
                    self._obey()
                    self._collect()
                    self._look_for_suspended()
                    self.display.update()
            finally:
                for _, process in self._running.values():
                    process.kill()
        return self.display.results

    def _fill(self, waiting: Iterator[Job]) -> bool:
        """Starts jobs while there is room; tells whether there may be more."""
        while self.signal is None and len(self._running) < self.backend.slots:
            job = next(waiting, None)
            if job is None:
                return False
            self._start(job)
        return self.signal is None

    def _start(self, job: Job) -> None:
        try:
            to_do = job.prepare()
            if to_do in (ToDo.NEW, ToDo.RESUME):
                slot = next(number for number in range(self.backend.slots) if number not in self._running)
                launch = Launch(train_command(job.directory), job.directory, job.environment)
                self._running[slot] = (job, self.backend.start(launch, slot))
                self.display.started(job, to_do is ToDo.RESUME)
            else:
                self._end(Result(job, "skipped") if to_do is ToDo.NOTHING else busy(job))
        except (UserError, OSError) as error:  # another run in the folder, a disk that is full, no process to be had
            self._end(Result(job, "failed", one_line(str(error))))

    def _collect(self) -> None:
        for slot, (job, process) in list(self._running.items()):
            code = process.poll()
            if code is not None:
                del self._running[slot]
                self._end(classify_exit(job, code, stopping=self.signal is not None))

    def _look_for_suspended(self) -> None:
        """Says which jobs wait for a signal that nobody may send."""
        if time.monotonic() < self._looked + LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        found = {pid: job for job, process in self._running.values() if (pid := process.suspended())}
        for pid in found.keys() - self._suspended:
            self.display.note(f"suspended {found[pid].title}: process {pid} was stopped; kill -CONT {pid} wakes it")
        self._suspended = set(found)

    def _end(self, result: Result) -> None:
        if result.state != "busy":
            with suppress(OSError):  # a full disk; the list of failures tells
                fix_status(result)
        self.display.ended(result)
        with suppress(OSError):
            self.on_result(result)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        self.signal = self.signal or number

    def _obey(self) -> None:
        """The first signal lets the jobs save and exit, the second ends them, as does waiting in vain."""
        if self._signals and self._asked is None:
            self._asked = time.monotonic()
            self.display.note("stopping: the jobs save and exit; once more ends them at once")
            for _, process in self._running.values():
                process.stop()
        if self._asked is not None and (self._signals > 1 or time.monotonic() > self._asked + STOP_SECONDS):
            for _, process in self._running.values():
                process.kill()
