"""Jobs of a SLURM cluster, through submitit, and jobs as tasks of a Ray cluster.

Both libraries are imported when their backend is built, for few have them. submitit writes the batch script, submits it
and follows it in the queue; `sweep.cluster=local` is its own imitation of a cluster, for a rehearsal without one. Ray
decides where a job runs by the cores and GPUs that it asks for; without an address it is started on this machine, and
ends with this process.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from showtell.config import Config
from showtell.sweeps.backends import Launch, Process, run_to_end

UNLIMITED = 10_000


class SlurmBackend:
    """Submits each job by itself, so that one can be stopped, resumed and judged without the others."""

    def __init__(self, config: Config, folder: Path) -> None:
        import submitit

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


@dataclass(frozen=True)
class QueuedJob:
    """A job in the queue or on a node."""

    job: Any

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

    def suspended(self) -> int:
        """Not told."""
        return 0


class RayBackend:
    """Ray places the jobs, and sets `CUDA_VISIBLE_DEVICES`."""

    def __init__(self, config: Config) -> None:
        import ray

        sweep = config.sweep
        self.ray = ray
        self.slots = sweep.jobs or UNLIMITED
        address = sweep.address or os.environ.get("RAY_ADDRESS")
        found = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        start: dict[str, Any] = {"address": address} if address else {"include_dashboard": False}
        ray.init(log_to_driver=False, logging_level="error", runtime_env={"env_vars": found}, **start)
        cores = int(ray.cluster_resources().get("CPU", 1))
        self.task = ray.remote(num_cpus=min(sweep.cpus, cores), num_gpus=sweep.gpus, max_retries=0)(run_to_end)

    def start(self, launch: Launch, slot: int) -> Process:
        """Hands a task to the scheduler."""
        return RayTask(self.ray, self.task.remote(launch))


@dataclass(frozen=True)
class RayTask:
    """A task, waiting or running."""

    ray: Any
    reference: Any

    def poll(self) -> int | None:
        """The command's exit code; 1 where Ray lost the task."""
        done, _ = self.ray.wait([self.reference], timeout=0)
        if not done:
            return None
        try:
            return int(self.ray.get(self.reference))
        except self.ray.exceptions.RayError:
            return 1

    def stop(self) -> None:
        """Interrupts the task, which then stops its command."""
        self.ray.cancel(self.reference, force=False)

    def kill(self) -> None:
        """Ends the worker; the supervisor of the command notices."""
        self.ray.cancel(self.reference, force=True)

    def suspended(self) -> int:
        """Not told."""
        return 0
