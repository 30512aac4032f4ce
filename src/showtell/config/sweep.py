"""The section `sweep`: how the runs of a sweep are spread out."""

from dataclasses import dataclass
from typing import ClassVar

from showtell.config.setting import Needs, Section, setting

_CLUSTER = (Needs("sweep.backend", ("slurm", "ray")),)
_SLURM = (Needs("sweep.backend", ("slurm",)),)


@dataclass(kw_only=True)
class SweepConfig(Section):
    """How the runs of a sweep (`-m`) are spread out, and how a search chooses them. A single run ignores it."""

    key: ClassVar[str] = "sweep"

    jobs: int = setting(
        0, "runs trained at once; 0: one per GPU, or one; on a cluster as the queue lets in", low=0, high=10_000
    )
    backend: str = setting("local", "where jobs run", choices=("local", "slurm", "ray"))
    cpus: int = setting(4, "cores that a cluster gives each job", low=1, high=1024, needs=_CLUSTER)
    gpus: int = setting(0, "GPUs that a cluster gives each job", low=0, high=64, needs=_CLUSTER)
    memory_gb: int = setting(16, "memory that a cluster gives each job", low=1, high=100_000, needs=_SLURM)
    minutes: int = setting(240, "time that a cluster gives each job", low=1, high=1_000_000, needs=_SLURM)
    partition: str | None = setting(None, "of SLURM", needs=_SLURM)
    cluster: str = setting(
        "slurm", "local is submitit's imitation of it on this machine", choices=("slurm", "local"), needs=_SLURM
    )
    address: str | None = setting(
        None, "of Ray's head; null: $RAY_ADDRESS, or a Ray of our own on this machine",
        needs=(Needs("sweep.backend", ("ray",)),),
    )  # fmt: skip
    trials: int = setting(20, "runs of a search", low=1, high=100_000)
    sampler: str = setting("tpe", "how a search proposes", choices=("tpe", "random"))
    pruning: bool = setting(True, "a search stops runs that are worse than the median of the others at their epoch")
