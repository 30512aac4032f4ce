"""Where jobs run. A backend starts a command and hands out something that can be polled, stopped and killed.

All three run the same command line on a file system that all machines see. Hydra's own launchers were tried and left:
joblib's and submitit's run the task function inside a worker that a `sys.exit` or a segmentation fault takes down with
its neighbours' results, Ray's pins an old cloudpickle, none assigns GPUs, and none knows what a finished run is.
Talking to submitit and Ray directly takes fewer lines than working around that.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from showtell.config import Config, ConfigError
from showtell.sweeps.forking import Nursery
from showtell.sweeps.process import GuardedProcess, Launch, Program

UNLIMITED = 10_000


class Process(Protocol):
    """A job on its way."""

    def poll(self) -> int | None:
        """The exit code (128 + n for a signal), or None while the job waits or runs."""

    def stop(self) -> None:
        """Asks the job to save and exit."""

    def kill(self) -> None:
        """Ends the job at once."""


class Backend(Protocol):
    """A place where `slots` jobs can be on their way at once."""

    slots: int

    def start(self, launch: Launch, slot: int) -> Process:
        """Starts a job in a free slot, counted from 0."""

    def close(self) -> None:
        """Lets the place go."""


class LocalBackend:
    """Processes of this machine, which share its cores evenly and have its GPUs to themselves as far as these reach."""

    def __init__(self, config: Config, program: Program | None = None) -> None:
        self.gpus = [] if config.device.accelerator == "cpu" else visible_gpus()
        self.gpus_per_job = config.device.devices if self.gpus else 0
        places = max(1, len(self.gpus) // max(1, self.gpus_per_job))
        self.slots = config.sweep.jobs or places
        self.places = places
        self.ranks_per_job = config.device.devices
        self.threads = thread_limits(self.slots * self.ranks_per_job)
        # a job of several ranks only starts them, and needs none of what they import
        self.program = program if sys.platform == "linux" and self.ranks_per_job == 1 else None
        self.nursery: Nursery | None = None

    def start(self, launch: Launch, slot: int) -> Process:
        """Starts a process with its share of cores, and its GPUs."""
        launch = replace(launch, environment={**self.threads, **self._gpus(slot), **launch.environment})
        if self.program is None:
            return GuardedProcess(launch)
        self.nursery = self.nursery or Nursery(self.program, self.threads)
        return self.nursery.start(launch)

    def close(self) -> None:
        """Ends what jobs were forked from."""
        if self.nursery:
            self.nursery.close()

    def _gpus(self, slot: int) -> dict[str, str]:
        if len(self.gpus) < 2:
            return {}
        first = slot % self.places * self.gpus_per_job
        return {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus[first : first + self.gpus_per_job])}


def thread_limits(jobs: int) -> dict[str, str]:
    """Cores divided by jobs, unless the user has decided: two jobs with all threads each get in each other's way."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # MKL goes by OMP_NUM_THREADS where it has no number of its own
    names = () if "OMP_NUM_THREADS" in os.environ else ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    return {name: str(max(1, cores // jobs)) for name in names if name not in os.environ}


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


def build_backend(config: Config, folder: Path, program: Program | None = None) -> Backend:
    """The backend that `sweep.backend` names.

    Args:
        config: of the sweep.
        folder: where a cluster's own files go.
        program: what all jobs run; known beforehand, this machine has its imports done once for all of them.

    Raises:
        ConfigError: its library is not installed, or there is no cluster.
    """
    name = config.sweep.backend
    try:
        if name == "slurm":
            from showtell.sweeps.slurm import SlurmBackend

            return SlurmBackend(config, folder / ".submitit")
        if name == "ray":
            from showtell.sweeps.ray_cluster import RayBackend

            return RayBackend(config)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"sweep.backend={name} needs {error.name}, which is not installed; pip install 'showtell[{name}]'"
        ) from None
    except (RuntimeError, OSError) as error:  # no SLURM here, no Ray there
        raise ConfigError(f"sweep.backend={name}: {str(error).splitlines()[0]}") from None
    return LocalBackend(config, program)
