"""Runs the jobs of a sweep, `slots` at a time, until all are done or somebody stops it.

A job is asked for only when there is room for it, so a search can learn from the runs before. What happens to one job
is no other job's business: its end, in whatever way, frees its slot and becomes an outcome.
"""

import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from types import FrameType

from showtell.config import ConfigError
from showtell.signals import catching
from showtell.sweeps.backends import Backend, Process
from showtell.sweeps.display import Display
from showtell.sweeps.job import Job, ToDo
from showtell.sweeps.outcome import Ended, Outcome, judge, settle
from showtell.sweeps.process import Launch, Program

POLL_SECONDS = 0.1
STOP_SECONDS = 120.0
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Runner:
    """Runs jobs on a backend.

    Args:
        program: what trains one run.
        backend: where.
        display: what is shown of it.
        ended: is told each outcome as it comes.

    Attributes:
        signal: the number of the signal that stopped the sweep, or None.
    """

    def __init__(
        self, program: Program, backend: Backend, display: Display, ended: Ended = lambda outcome: None
    ) -> None:
        self.program = program
        self.backend = backend
        self.display = display
        self.ended = ended
        self.signal: int | None = None
        self._signals = 0
        self._asked: float | None = None
        self._running: dict[int, tuple[Job, Launch, Process]] = {}

    def run(self, jobs: Iterable[Job]) -> list[Outcome]:
        """Runs all jobs.

        Args:
            jobs: asked for one at a time.

        Returns:
            One outcome per job that was asked for, in the order of their ends.
        """
        waiting = iter(jobs)
        with self.display, catching(STOPPING, self._handle):
            try:
                while self._fill(waiting) or self._running:
                    time.sleep(POLL_SECONDS)
                    self._obey()
                    self._collect()
                    self.display.update([job for job, _, _ in self._running.values()])
            finally:
                for _, _, process in self._running.values():
                    process.kill()
        return self.display.outcomes

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
            to_do = job.to_do()
        except ConfigError as error:
            self._end(Outcome(job, "failed", str(error)))
            return
        if to_do is ToDo.NOTHING:
            self._end(Outcome(job, "skipped"))
            return
        command = (*self.program.command, *job.arguments(to_do, self.program.hydra))
        launch = Launch(command, job.directory, job.environment)
        slot = next(number for number in range(self.backend.slots) if number not in self._running)
        self._running[slot] = (job, launch, self.backend.start(launch, slot))
        self.display.started(job, to_do is ToDo.RESUME)

    def _collect(self) -> None:
        for slot, (job, launch, process) in list(self._running.items()):
            code = process.poll()
            if code is not None:
                del self._running[slot]
                self._end(judge(job, code, launch.log, stopping=self.signal is not None))

    def _end(self, outcome: Outcome) -> None:
        if outcome.state != "busy":
            settle(outcome)
        self.display.ended(outcome)
        self.ended(outcome)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        self.signal = self.signal or number

    def _obey(self) -> None:
        """The first signal lets the jobs save and exit, the second ends them, as does waiting in vain."""
        if self._signals and self._asked is None:
            self._asked = time.monotonic()
            self.display.note("stopping: the jobs save and exit; once more ends them at once")
            for _, _, process in self._running.values():
                process.stop()
        if self._asked is not None and (self._signals > 1 or time.monotonic() > self._asked + STOP_SECONDS):
            for _, _, process in self._running.values():
                process.kill()


def exit_code(runner: Runner, outcomes: Sequence[Outcome]) -> int:
    """0 when all is done, 128 + n when a signal stopped the sweep, 1 when a run is missing."""
    if runner.signal is not None:
        return 128 + runner.signal
    return int(any(outcome.failed for outcome in outcomes))
