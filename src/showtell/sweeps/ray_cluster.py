"""Jobs as tasks of a Ray cluster, or of a Ray that is started on this machine for the length of the sweep."""

import os
import sys
from typing import Any

import ray

from showtell.config import Config
from showtell.sweeps.backends import UNLIMITED, Process
from showtell.sweeps.process import Launch, run_to_end


class RayBackend:
    """Ray decides where a job runs, by the cores and GPUs it asks for, and sets `CUDA_VISIBLE_DEVICES`."""

    def __init__(self, config: Config) -> None:
        sweep = config.sweep
        self.slots = sweep.jobs or UNLIMITED
        address = sweep.address or os.environ.get("RAY_ADDRESS")
        found = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        start: dict[str, Any] = {"address": address} if address else {"include_dashboard": False}
        ray.init(log_to_driver=False, logging_level="error", runtime_env={"env_vars": found}, **start)
        cores = int(ray.cluster_resources().get("CPU", 1))
        self.task = ray.remote(num_cpus=min(sweep.cpus, cores), num_gpus=sweep.gpus, max_retries=0)(run_to_end)

    def start(self, launch: Launch, slot: int) -> Process:
        """Hands a task to the scheduler."""
        return RayTask(self.task.remote(launch))

    def close(self) -> None:
        """Leaves the cluster; a Ray of our own ends."""
        ray.shutdown()


class RayTask:
    """A task, waiting or running."""

    def __init__(self, reference: Any) -> None:
        self.reference = reference

    def poll(self) -> int | None:
        """The command's exit code; 1 where Ray lost the task."""
        done, _ = ray.wait([self.reference], timeout=0)
        if not done:
            return None
        try:
            return int(ray.get(self.reference))
        except ray.exceptions.RayError:
            return 1

    def stop(self) -> None:
        """Interrupts the task, which then stops its command."""
        ray.cancel(self.reference, force=False)

    def kill(self) -> None:
        """Ends the worker; the guard of the command notices."""
        ray.cancel(self.reference, force=True)
