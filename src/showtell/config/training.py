"""The sections of the optimization: what it computes on, how it goes, and how sweeps spread it."""

from dataclasses import dataclass

from showtell.config.checks import one_of, within
from showtell.errors import ConfigError

ACCELERATORS = ("auto", "cpu", "gpu")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
OBJECTIVES = ("cross_entropy", "self_critical")
BASELINES = ("greedy", "mean")
SCHEDULES = ("constant", "cosine", "plateau")
SWEEP_BACKENDS = ("local", "slurm", "ray")
SWEEP_SAMPLERS = ("tpe", "random")


@dataclass(kw_only=True)
class DeviceConfig:
    """What the run computes on: `devices` processes on each of `num_nodes` machines, one per GPU where there are GPUs.

    A collective of several processes gives up after `timeout_seconds`.
    """

    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    timeout_seconds: int = 1800
    precision: str = "32-true"
    compile: bool = False

    def __post_init__(self) -> None:
        one_of("device.accelerator", self.accelerator, ACCELERATORS)
        one_of("device.precision", self.precision, PRECISIONS)
        for key in ("devices", "num_nodes", "timeout_seconds"):
            within(f"device.{key}", getattr(self, key), 1)


@dataclass(kw_only=True)
class TrainingConfig:
    """The optimization: length, batch, optimizer, schedule, and when to write a checkpoint or stop."""

    max_epochs: int = 10
    max_steps: int = -1
    batch_size: int = 64
    accumulate_batches: int = 1
    learning_rate: float = 1e-3
    # of the blocks that encoder.finetune_blocks counts; 0 keeps them as a first stage left them
    encoder_learning_rate: float = 1e-5
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    # cross_entropy, or self_critical: captions that the decoder drew, rewarded by CIDEr-D
    objective: str = "cross_entropy"
    # self_critical: captions drawn per picture, and what their reward is compared with
    drawn_captions: int = 5
    baseline: str = "mean"
    # self_critical: of the policy that draws and is trained; below 1 it is sharper than the decoder itself
    draw_temperature: float = 1.0
    # self_critical: share of the features' channels that the drawing decoder does not see
    reward_dropout: float = 0.0
    # self_critical: what is added of cross-entropy
    cross_entropy_weight: float = 0.0
    # probability of feeding the decoder's own word at the last epoch; it grows linearly from 0
    scheduled_sampling: float = 0.0
    # decay of the moving average of the weights that validation and prediction use; 0: none
    weight_average: float = 0.0
    gradient_clip: float = 0.0
    schedule: str = "constant"
    warmup_steps: int = 0
    monitor: str = "val/cider"
    early_stopping_epochs: int = 0
    checkpoint_every_steps: int = 0
    checkpoint_every_minutes: float = 0.0
    log_every_steps: int = 10
    sample_pictures: int = 12
    val_pictures: int = 0
    overfit_batches: int = 0
    limit_train_batches: int = 0
    limit_val_batches: int = 0

    def __post_init__(self) -> None:
        within("training.max_epochs", self.max_epochs, 1)
        within("training.max_steps", self.max_steps, -1)
        within("training.batch_size", self.batch_size, 1)
        within("training.accumulate_batches", self.accumulate_batches, 1)
        within("training.learning_rate", self.learning_rate, 0, open_low=True)
        within("training.encoder_learning_rate", self.encoder_learning_rate, 0)
        within("training.weight_decay", self.weight_decay, 0)
        one_of("training.objective", self.objective, OBJECTIVES)
        one_of("training.baseline", self.baseline, BASELINES)
        within("training.drawn_captions", self.drawn_captions, 2 if self.baseline == "mean" else 1)
        within("training.draw_temperature", self.draw_temperature, 0.05, 10)
        within("training.reward_dropout", self.reward_dropout, 0, 0.99)
        within("training.cross_entropy_weight", self.cross_entropy_weight, 0)
        within("training.label_smoothing", self.label_smoothing, 0, 0.99)
        within("training.scheduled_sampling", self.scheduled_sampling, 0, 1)
        within("training.weight_average", self.weight_average, 0, 0.99999)
        within("training.gradient_clip", self.gradient_clip, 0)
        one_of("training.schedule", self.schedule, SCHEDULES)
        if self.schedule == "plateau" and self.warmup_steps:
            raise ConfigError("training.warmup_steps: schedule=plateau has no warm-up; set it to 0, or schedule=cosine")
        for key in (
            "warmup_steps", "early_stopping_epochs", "checkpoint_every_steps", "checkpoint_every_minutes",
            "sample_pictures", "val_pictures", "overfit_batches", "limit_train_batches", "limit_val_batches",
        ):  # fmt: skip
            within(f"training.{key}", getattr(self, key), 0)
        within("training.log_every_steps", self.log_every_steps, 1)


@dataclass(kw_only=True)
class SweepConfig:
    """How the runs of a sweep (`-m`) are spread out, and how a search chooses them. A single run ignores it.

    `jobs` runs are trained at once; 0 means one per GPU (one, without a GPU), on a cluster as many as the queue lets
    in. A search ends with `trials` runs; `pruning` stops those that are worse than the median of the others at the same
    epoch. `cpus`, `gpus`, `memory_gb` and `minutes` are what a cluster gives each job.
    """

    jobs: int = 0
    backend: str = "local"
    cpus: int = 4
    gpus: int = 0
    memory_gb: int = 16
    minutes: int = 240
    partition: str | None = None  # of SLURM
    cluster: str = "slurm"  # `local` is submitit's imitation of it
    address: str | None = None  # of Ray's head; null is $RAY_ADDRESS, or a Ray of our own on this machine
    trials: int = 20
    sampler: str = "tpe"
    pruning: bool = True

    def __post_init__(self) -> None:
        one_of("sweep.backend", self.backend, SWEEP_BACKENDS)
        one_of("sweep.cluster", self.cluster, ("slurm", "local"))
        one_of("sweep.sampler", self.sampler, SWEEP_SAMPLERS)
        within("sweep.jobs", self.jobs, 0)
        within("sweep.gpus", self.gpus, 0)
        for key in ("cpus", "minutes", "memory_gb", "trials"):
            within(f"sweep.{key}", getattr(self, key), 1)
