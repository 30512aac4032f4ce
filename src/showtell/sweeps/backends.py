"""Where jobs run: a backend starts a command and hands out something that can be polled, stopped and killed.

All backends run `train.py --run DIRECTORY` on a file system that all machines see. Why not Hydra's own launchers:
`docs/decisions/sweeps.md`.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from showtell.config import Config
from showtell.processes import exit_code, module_command, module_environment, processes_of, thread_limits
from showtell.run import Run
from showtell.sweeps.supervisor import GRACE_SECONDS


@dataclass(frozen=True)
class Launch:
    """A command, the run directory that it works in, and what it finds in its environment beyond the usual."""

    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str]


class Process(Protocol):
    """A job on its way."""

    def poll(self) -> int | None:
        """The exit code (128 + n for a signal), or None while the job waits or runs."""

    def stop(self) -> None:
        """Asks the job to save and exit."""

    def kill(self) -> None:
        """Ends the job at once."""

    def suspended(self) -> int:
        """A process of the job that somebody has suspended; 0 where there is none, or it cannot be told."""


class Backend(Protocol):
    """A place where `slots` jobs can be on their way at once."""

    slots: int

    def start(self, launch: Launch, slot: int) -> Process:
        """Starts a job in a free slot, counted from 0."""


class LocalBackend:
    """Processes of this machine, which share its cores evenly and have its GPUs to themselves as far as these reach."""

    def __init__(self, config: Config) -> None:
        self.gpus = [] if config.device.accelerator == "cpu" else visible_gpus()
        self.gpus_per_job = config.device.devices if self.gpus else 0
        self.places = max(1, len(self.gpus) // max(1, self.gpus_per_job))
        self.slots = config.sweep.jobs or self.places
        self.threads = thread_limits(self.slots * config.device.devices)

    def start(self, launch: Launch, slot: int) -> Process:
        """Starts a process with its share of cores, and its GPUs."""
        environment = {**self.threads, **self._gpus(slot), **launch.environment}
        return SupervisedProcess(replace(launch, environment=environment))

    def _gpus(self, slot: int) -> dict[str, str]:
        if len(self.gpus) < 2:
            return {}
        first = slot % self.places * self.gpus_per_job
        return {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus[first : first + self.gpus_per_job])}


class SupervisedProcess:
    """A command that runs under a supervisor, in a session of its own.

    The process must be polled to its end or killed; `poll` also removes what the command left behind.
    """

    def __init__(self, launch: Launch) -> None:
        launch.directory.mkdir(parents=True, exist_ok=True)
        run = Run(launch.directory)
        words = (os.getpid(), run.lock_file, run.log_file, *launch.command)
        self._supervisor = subprocess.Popen(
            module_command("showtell.sweeps.supervisor", *words),
            stdin=subprocess.DEVNULL,
            env={**os.environ, **module_environment(), **launch.environment},
            start_new_session=True,  # Ctrl-C is the sweep's business
        )

    def poll(self) -> int | None:
        """The exit code, 128 + n for a signal, or None while the command runs."""
        code = self._supervisor.poll()
        if code is None:
            return None
        self._kill_group()
        return exit_code(code)

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit code, once the command has ended; None if that takes longer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._supervisor.wait(seconds)
        return self.poll()

    def stop(self) -> None:
        """Asks the command to save and exit."""
        self._supervisor.terminate()

    def kill(self) -> None:
        """Ends the command and everything it started, at once."""
        self._kill_group()
        self._supervisor.wait()

    def suspended(self) -> int:
        """A process of the job that was sent SIGSTOP; 0 where there is none."""
        return next((pid for pid, state in processes_of(self._supervisor.pid) if state == "T"), 0)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._supervisor.pid, signal.SIGKILL)


def run_to_end(launch: Launch) -> int:
    """Runs a command from its start to its end; when the caller is interrupted or ends, so does the command.

    This is what a worker of SLURM or Ray executes.
    """
    process = SupervisedProcess(launch)
    try:
        code = process.wait()
        assert code is not None
        return code
    except BaseException:
        process.stop()
        process.wait(GRACE_SECONDS)
        process.kill()
        raise


def visible_gpus() -> list[str]:
    """What `CUDA_VISIBLE_DEVICES` may name here, found without torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [gpu.strip() for gpu in chosen.split(",") if gpu.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return answer.stdout.split() if answer.returncode == 0 else []
