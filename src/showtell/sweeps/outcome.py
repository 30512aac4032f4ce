"""How a job ended, in words for the list at the end of a sweep."""

import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from showtell.run import DONE, Run
from showtell.sweeps.guard import BUSY, NOT_STARTED
from showtell.sweeps.job import Job, ToDo

_TAIL = 8192


@dataclass(frozen=True)
class Outcome:
    """`state`: finished, pruned, skipped, stopped (by us), busy (elsewhere) or failed; `reason` is one line or None."""

    job: Job
    state: str
    reason: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the sweep lacks this run."""
        return self.state in ("failed", "stopped", "busy")


Ended = Callable[[Outcome], None]


def judge(job: Job, code: int, log: Path, stopping: bool = False) -> Outcome:
    """What an exit code means, with the run's own account of it.

    Args:
        job: the job that ended.
        code: its exit code, 128 + n for a signal.
        log: what it printed.
        stopping: whether the sweep had asked it to stop.
    """
    status = Run(job.directory).status()
    if code == 0 and status and status.state in DONE and job.to_do() is ToDo.NOTHING:
        return Outcome(job, status.state)
    if code == BUSY:
        return Outcome(job, "busy", "another process is training this run")
    if stopping:
        return Outcome(job, "stopped", "stopped with the sweep; the same command goes on")
    return Outcome(job, "failed", describe(code, last_line(log)))


def settle(outcome: Outcome) -> None:
    """Corrects `status.json` of a run that was cut too fast to say so itself: it is not running any more."""
    run = Run(outcome.job.directory)
    status = run.status()
    if outcome.failed and status is not None and status.state == "running":
        run.record(state=outcome.state, reason=outcome.reason)


def describe(code: int, line: str) -> str:
    """An exit code and the last words of a log, in one line."""
    if code == 0:
        return f"exited with 0 before it had finished{': ' + line if line else ''}"
    if code == NOT_STARTED:
        return line
    if code > 128:
        name = signal_name(code - 128)
        saved = "" if name in ("SIGKILL", "SIGSEGV", "SIGABRT") or not line else f": {line}"
        return f"ended by {name} (exit code {code}){saved}"
    return f"{line.removeprefix('error: ') or 'no message'} (exit code {code})"


def signal_name(number: int) -> str:
    """`SIGTERM` for 15."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_line(log: Path) -> str:
    """The last line of a log that says something; of a traceback that is the exception."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() for line in text.splitlines()]
    return next((line[:200] for line in reversed(lines) if line), "")
