"""One job as a guarded process of this machine, and the same awaited in one call for the workers of a cluster."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from showtell.sweeps import guard

LOG_NAME = "out.log"
LOCK_NAME = ".job.lock"


@dataclass(frozen=True)
class Program:
    """What runs a single job.

    `command` comes before its arguments, `hydra` are overrides of Hydra that all jobs get, `modules` what every job
    imports.
    """

    command: tuple[str, ...]
    hydra: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Launch:
    """A command, where it belongs, and what it finds in its environment beyond the usual."""

    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str]

    @property
    def log(self) -> Path:
        """What the command prints."""
        return self.directory / LOG_NAME


class GuardedProcess:
    """A running command in a session of its own.

    The process must be polled to its end or killed; `poll` also removes what the command left behind.
    """

    def __init__(self, launch: Launch) -> None:
        launch.directory.mkdir(parents=True, exist_ok=True)
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, launch.directory / LOCK_NAME, launch.log, *launch.command],
            stdin=subprocess.PIPE,
            env={**os.environ, **launch.environment},
            start_new_session=True,
        )

    def poll(self) -> int | None:
        """The exit code, 128 + n for a signal, or None while the command runs."""
        code = self._guard.poll()
        if code is None:
            return None
        self._clear_away()
        return code if code >= 0 else 128 - code

    def wait(self) -> int:
        """The exit code, once the command has ended."""
        self._guard.wait()
        code = self.poll()
        assert code is not None
        return code

    def stop(self) -> None:
        """Asks the command to save and exit."""
        self._guard.terminate()

    def kill(self) -> None:
        """Ends the command and everything it started, at once."""
        self._clear_away()
        self._guard.wait()

    def _clear_away(self) -> None:
        assert self._guard.stdin
        self._guard.stdin.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._guard.pid, signal.SIGKILL)


def run_to_end(launch: Launch) -> int:
    """Runs a command from its start to its end; when the caller is interrupted or ends, so does the command.

    This is what a worker of SLURM or Ray executes.
    """
    process = GuardedProcess(launch)
    try:
        return process.wait()
    except BaseException:
        process.stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process._guard.wait(guard.GRACE_SECONDS)
        process.kill()
        raise
