"""Jobs of a SLURM cluster, through submitit: it writes the batch script, submits it and follows it in the queue.

`sweep.cluster=local` runs submitit's own imitation of a cluster on this machine, for a rehearsal without one.
"""

import sys
from pathlib import Path
from typing import Any

import submitit

from showtell.config import Config
from showtell.sweeps.backends import UNLIMITED, Process
from showtell.sweeps.process import Launch, run_to_end


class SlurmBackend:
    """Submits each job by itself, so that one can be stopped, resumed and judged without the others."""

    def __init__(self, config: Config, folder: Path) -> None:
        sweep = config.sweep
        self.slots = sweep.jobs or UNLIMITED
        self.executor = submitit.AutoExecutor(folder=folder, cluster=sweep.cluster, slurm_python=sys.executable)
        self.executor.update_parameters(
            name=config.name,
            timeout_min=sweep.minutes,
            cpus_per_task=sweep.cpus,
            gpus_per_node=sweep.gpus,
            mem_gb=sweep.memory_gb,
            **({"slurm_partition": sweep.partition} if sweep.partition else {}),
        )

    def start(self, launch: Launch, slot: int) -> Process:
        """Puts a job in the queue."""
        return QueuedJob(self.executor.submit(run_to_end, launch))

    def close(self) -> None:
        """Nothing to let go."""


class QueuedJob:
    """A job in the queue or on a node."""

    def __init__(self, job: Any) -> None:
        self.job = job

    def poll(self) -> int | None:
        """The command's exit code; 1 where the cluster lost the job."""
        if not self.job.done():
            return None
        return 1 if self.job.exception() is not None else int(self.job.result())

    def stop(self) -> None:
        """SLURM sends SIGTERM, and SIGKILL later where that does not help."""
        self.job.cancel(check=False)

    def kill(self) -> None:
        """There is nothing harder than `scancel`."""
        self.job.cancel(check=False)
