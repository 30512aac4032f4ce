"""How a job ended, in words for the list at the end of a sweep."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from showtell.processes import signal_name
from showtell.run import DONE, Run
from showtell.sweeps.job import Job, ToDo
from showtell.sweeps.supervisor import BUSY, NOT_STARTED

_TAIL = 8192


@dataclass(frozen=True)
class Result:
    """`state`: finished, pruned, skipped, stopped (by us), busy (elsewhere) or failed; `reason` is one line or None."""

    job: Job
    state: str
    reason: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the sweep lacks this run."""
        return self.state in ("failed", "stopped", "busy")


def busy(job: Job) -> Result:
    """The run is somebody else's at the moment."""
    return Result(job, "busy", "another process is training this run")


def classify_exit(job: Job, code: int, stopping: bool = False) -> Result:
    """What an exit code means, with the run's own account of it.

    Args:
        job: the job that ended.
        code: its exit code, 128 + n for a signal.
        stopping: whether the sweep had asked it to stop.
    """
    run = Run(job.directory)
    status = run.status()
    if code == 0 and status and status.state in DONE and job.to_do() is ToDo.NOTHING:
        return Result(job, status.state)
    if code == BUSY:
        return busy(job)
    if stopping:
        return Result(job, "stopped", "stopped with the sweep; the same command goes on")
    return Result(job, "failed", describe(code, last_line(run.log_file)))


def fix_status(result: Result) -> None:
    """Corrects `status.json` of a run that was cut too fast to say so itself: it is not running any more."""
    run = Run(result.job.directory)
    status = run.status()
    if result.failed and status is not None and status.state == "running":
        run.record(state=result.state, reason=result.reason)


def describe(code: int, line: str) -> str:
    """An exit code and the last words of a log, in one line."""
    if code == 0:
        return f"exited with 0 before it had finished{': ' + line if line else ''}"
    if code == NOT_STARTED:
        return line
    if code > 128:
        name = signal_name(code)
        saved = "" if name in ("SIGKILL", "SIGSEGV", "SIGABRT") or not line else f": {line}"
        return f"ended by {name} (exit code {code}){saved}"
    return f"{line.removeprefix('error: ') or 'no message'} (exit code {code})"


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
