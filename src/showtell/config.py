"""What a run is made of: one dataclass per section of the configuration, with its range checks.

YAML under `conf/` holds the values, this file holds types and limits, plain Python builds the objects. Everything
that enters passes one gate, `parse`, after which nobody meets an OmegaConf object. A refused value is a `ConfigError`
whose single line names the key, the value and the remedy.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

DATA_FORMATS = ("coco", "karpathy", "flickr", "shapes")
BAD_PICTURE_POLICIES = ("skip", "fail")
POOLINGS = ("auto", "average", "quarters", "grid")
DECODERS = ("lstm", "attention", "hard_attention", "topdown", "transformer")
GRID_DECODERS = ("attention", "hard_attention", "topdown", "transformer")
ACCELERATORS = ("auto", "cpu", "gpu")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
OBJECTIVES = ("cross_entropy", "self_critical")
BASELINES = ("greedy", "mean")
SCHEDULES = ("constant", "cosine", "plateau")
FEATURE_MODES = ("store", "off")
FEATURE_DTYPES = ("float16", "float32")
FEATURE_PRECISIONS = ("auto", "float32", "bfloat16")
FEATURE_PLACES = ("auto", "ram", "gpu", "disk")
DECODING_METHODS = ("greedy", "beam", "sample")
SWEEP_BACKENDS = ("local", "slurm", "ray")
SWEEP_SAMPLERS = ("tpe", "random")


class ConfigError(ValueError):
    """A setting that cannot be used; the message is one line: key, value, remedy."""


def _one_of(key: str, value: object, choices: Collection[object]) -> None:
    if value not in choices:
        raise ConfigError(f"{key}={value!r} is not an option; choose one of {', '.join(map(str, choices))}")


def _within(key: str, value: float, low: float, high: float = float("inf"), *, open_low: bool = False) -> None:
    if not (low < value if open_low else low <= value) or not value <= high:
        bound = f"greater than {low}" if open_low else f"at least {low}"
        limit = "" if high == float("inf") else f" and at most {high}"
        raise ConfigError(f"{key}={value} is out of range; it must be {bound}{limit}")


@dataclass(frozen=True, kw_only=True)
class ImageTransform:
    """How a picture becomes an encoder's input. It belongs to the encoder's weights and travels in the checkpoint.

    The whole picture is stretched to `size` x `size`: nothing is cut away and every tensor has one shape.
    """

    size: int = 224
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(kw_only=True)
class ShapesConfig:
    """How much of the embedded data set is drawn, and from which seed."""

    seed: int = 0
    train_pictures: int = 4000
    val_pictures: int = 400

    def __post_init__(self) -> None:
        _within("data.shapes.train_pictures", self.train_pictures, 1)
        _within("data.shapes.val_pictures", self.val_pictures, 1)


@dataclass(kw_only=True)
class DataConfig:
    """Where pictures and captions lie. Relative paths start at `root`, and `root` at the working directory."""

    name: str = "shapes"
    format: str = "shapes"
    root: str = "data/shapes"
    train_annotations: str = "annotations/captions_train.json"
    val_annotations: str = "annotations/captions_val.json"
    train_images: str = "train"
    val_images: str = "val"
    # files with one picture name per line (Flickr8k's way of naming its splits)
    train_split: str | None = None
    val_split: str | None = None
    num_workers: int = 2
    bad_pictures: str = "skip"
    max_caption_words: int = 50
    shapes: ShapesConfig = field(default_factory=ShapesConfig)

    def __post_init__(self) -> None:
        _one_of("data.format", self.format, DATA_FORMATS)
        _one_of("data.bad_pictures", self.bad_pictures, BAD_PICTURE_POLICIES)
        _within("data.num_workers", self.num_workers, 0)
        _within("data.max_caption_words", self.max_caption_words, 1)


@dataclass(kw_only=True)
class EncoderConfig:
    """The frozen CNN: which one, with which weights, and what of its answer is kept.

    `weights` is `imagenet` (the package's or torchvision's best weights), a torchvision weights name such as
    `IMAGENET1K_V2`, the path of a file, or `none` for random weights. `pooling: auto` becomes `grid` for decoders that
    attend to regions and `average` for the others, when the whole configuration is known.
    """

    name: str = "efficientnet_lite0"
    weights: str = "imagenet"
    pooling: str = "auto"
    # side of the square that a picture is stretched to; 0: what the weights were trained with
    image_size: int = 0

    def __post_init__(self) -> None:
        _one_of("encoder.pooling", self.pooling, POOLINGS)
        if self.image_size:
            _within("encoder.image_size", self.image_size, 32)


@dataclass(kw_only=True)
class DecoderConfig:
    """The decoder: which one, its sizes and its regularisation. Decoders without a part ignore the part's settings."""

    name: str = "lstm"
    embedding_size: int = 256
    hidden_size: int = 100
    num_layers: int = 1
    dropout: float = 0.0
    # on word embeddings and on features; None: the same as `dropout`
    word_dropout: float | None = None
    feature_dropout: float | None = None
    # lstm: the picture is added to every word, not only shown before the first
    image_every_step: bool = False
    # regions are projected to this size before they are attended to; 0: as they are
    region_size: int = 0
    attention_size: int = 256
    num_heads: int = 4
    # lambda of doubly stochastic attention
    attention_penalty: float = 0.0
    # lambda_r and lambda_e of hard attention
    reinforce_weight: float = 1.0
    entropy_weight: float = 0.01
    # input and output words share one matrix
    tie_embeddings: bool = False
    # file of pretrained vectors, one word and its numbers per line (GloVe's format)
    word_vectors: str | None = None

    def __post_init__(self) -> None:
        _one_of("decoder.name", self.name, DECODERS)
        _within("decoder.embedding_size", self.embedding_size, 1)
        _within("decoder.hidden_size", self.hidden_size, 1)
        _within("decoder.num_layers", self.num_layers, 1)
        _within("decoder.dropout", self.dropout, 0, 0.99)
        for key in ("word_dropout", "feature_dropout"):
            if getattr(self, key) is not None:
                _within(f"decoder.{key}", getattr(self, key), 0, 0.99)
        _within("decoder.region_size", self.region_size, 0)
        _within("decoder.attention_size", self.attention_size, 1)
        _within("decoder.num_heads", self.num_heads, 1)
        if self.name == "transformer" and self.hidden_size % self.num_heads:
            raise ConfigError(
                f"decoder.num_heads={self.num_heads} does not divide decoder.hidden_size={self.hidden_size}; "
                "make it a divisor"
            )
        for key in ("attention_penalty", "reinforce_weight", "entropy_weight"):
            _within(f"decoder.{key}", getattr(self, key), 0)


@dataclass(kw_only=True)
class VocabConfig:
    """A word enters the vocabulary when the training captions hold it at least `threshold` times."""

    threshold: int = 4

    def __post_init__(self) -> None:
        _within("vocab.threshold", self.threshold, 1)


@dataclass(kw_only=True)
class DeviceConfig:
    """What the run computes on."""

    accelerator: str = "auto"
    devices: int = 1
    precision: str = "32-true"
    compile: bool = False

    def __post_init__(self) -> None:
        _one_of("device.accelerator", self.accelerator, ACCELERATORS)
        _one_of("device.precision", self.precision, PRECISIONS)
        _within("device.devices", self.devices, 1)


@dataclass(kw_only=True)
class FeaturesConfig:
    """Whether the encoder's answers are kept on disk (`store`) or computed in every step (`off`)."""

    mode: str = "store"
    dtype: str = "float16"
    place: str = "auto"
    precision: str = "auto"
    batch_size: int = 32

    def __post_init__(self) -> None:
        _one_of("features.mode", self.mode, FEATURE_MODES)
        _one_of("features.precision", self.precision, FEATURE_PRECISIONS)
        _one_of("features.dtype", self.dtype, FEATURE_DTYPES)
        _one_of("features.place", self.place, FEATURE_PLACES)
        _within("features.batch_size", self.batch_size, 1)


@dataclass(kw_only=True)
class DecodingConfig:
    """How a caption is read off the decoder.

    A setting of another method is refused, not ignored: `beam_size` and `groups` belong to `beam`, `temperature`,
    `top_k` and `top_p` to `sample`, and `greedy` writes one caption.
    """

    method: str = "greedy"
    max_length: int = 30
    min_length: int = 1
    beam_size: int = 1
    length_penalty: float = 1.0
    block_ngram: int = 0
    groups: int = 1
    diversity: float = 0.5
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    num_captions: int = 1

    def __post_init__(self) -> None:
        _one_of("decoding.method", self.method, DECODING_METHODS)
        _within("decoding.min_length", self.min_length, 1)
        _within("decoding.max_length", self.max_length, self.min_length)
        _within("decoding.beam_size", self.beam_size, 1)
        _within("decoding.length_penalty", self.length_penalty, 0)
        _within("decoding.block_ngram", self.block_ngram, 0)
        _within("decoding.groups", self.groups, 1, self.beam_size)
        if self.beam_size % self.groups:
            raise ConfigError(
                f"decoding.groups={self.groups} does not divide decoding.beam_size={self.beam_size}; make it a divisor"
            )
        _within("decoding.diversity", self.diversity, 0)
        _within("decoding.temperature", self.temperature, 0, open_low=True)
        _within("decoding.top_k", self.top_k, 0)
        _within("decoding.top_p", self.top_p, 0, 1, open_low=True)
        _within("decoding.num_captions", self.num_captions, 1)
        self._refuse_ignored()
        if self.method == "beam" and self.num_captions > self.beam_size:
            raise ConfigError(
                f"decoding.num_captions={self.num_captions} is more than decoding.beam_size={self.beam_size}; "
                "widen the beam"
            )

    def _refuse_ignored(self) -> None:
        beam, sample = ("beam_size", "groups"), ("temperature", "top_k", "top_p")
        owners = {key: "beam" for key in beam} | {key: "sample" for key in sample} | {"num_captions": "beam or sample"}
        for key, methods in owners.items():
            value, default = getattr(self, key), type(self).__dataclass_fields__[key].default
            if self.method not in methods.split(" or ") and value != default:
                raise ConfigError(
                    f"decoding.{key}={value} has no effect with decoding.method={self.method}; "
                    f"choose decoding.method={methods}, or set it to {default}"
                )


@dataclass(kw_only=True)
class TrainingConfig:
    """The optimization: length, batch, optimizer, schedule, and when to write a checkpoint or stop."""

    max_epochs: int = 10
    max_steps: int = -1
    batch_size: int = 64
    accumulate_batches: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    # cross_entropy, or self_critical: captions that the decoder drew, rewarded by CIDEr-D
    objective: str = "cross_entropy"
    # self_critical: captions drawn per picture, and what their reward is compared with
    drawn_captions: int = 5
    baseline: str = "mean"
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
        _within("training.max_epochs", self.max_epochs, 1)
        _within("training.max_steps", self.max_steps, -1)
        _within("training.batch_size", self.batch_size, 1)
        _within("training.accumulate_batches", self.accumulate_batches, 1)
        _within("training.learning_rate", self.learning_rate, 0, open_low=True)
        _within("training.weight_decay", self.weight_decay, 0)
        _one_of("training.objective", self.objective, OBJECTIVES)
        _one_of("training.baseline", self.baseline, BASELINES)
        _within("training.drawn_captions", self.drawn_captions, 2 if self.baseline == "mean" else 1)
        _within("training.label_smoothing", self.label_smoothing, 0, 0.99)
        _within("training.scheduled_sampling", self.scheduled_sampling, 0, 1)
        _within("training.weight_average", self.weight_average, 0, 0.99999)
        _within("training.gradient_clip", self.gradient_clip, 0)
        _one_of("training.schedule", self.schedule, SCHEDULES)
        for key in (
            "warmup_steps", "early_stopping_epochs", "checkpoint_every_steps", "checkpoint_every_minutes",
            "sample_pictures", "val_pictures", "overfit_batches", "limit_train_batches", "limit_val_batches",
        ):  # fmt: skip
            _within(f"training.{key}", getattr(self, key), 0)
        _within("training.log_every_steps", self.log_every_steps, 1)


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
        _one_of("sweep.backend", self.backend, SWEEP_BACKENDS)
        _one_of("sweep.cluster", self.cluster, ("slurm", "local"))
        _one_of("sweep.sampler", self.sampler, SWEEP_SAMPLERS)
        _within("sweep.jobs", self.jobs, 0)
        _within("sweep.gpus", self.gpus, 0)
        for key in ("cpus", "minutes", "memory_gb", "trials"):
            _within(f"sweep.{key}", getattr(self, key), 1)


@dataclass(kw_only=True)
class Config:
    """One run. The sections are the groups under `conf/`."""

    name: str = "demo"
    seed: int = 1
    resume: str | None = None
    init_from: str | None = None
    cache: str = "cache"
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    vocab: VocabConfig = field(default_factory=VocabConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)

    def __post_init__(self) -> None:
        _within("seed", self.seed, 0, 2**31 - 1)
        if not self.name or "/" in self.name or self.name.startswith("."):
            raise ConfigError(f"name={self.name!r} cannot name a folder; use letters, digits, - and _")
        if self.encoder.pooling == "auto":
            self.encoder.pooling = "grid" if self.decoder.name in GRID_DECODERS else "average"
        if self.encoder.pooling == "grid" and self.decoder.name not in GRID_DECODERS:
            raise ConfigError(
                f"encoder.pooling=grid: decoder.name={self.decoder.name} reads one vector; "
                "use encoder.pooling=average or decoder=attention"
            )

    def as_dict(self) -> dict[str, Any]:
        """The whole configuration as plain containers, fit for a checkpoint."""
        return asdict(self)


def monitor_mode(metric: str) -> str:
    """Whether a metric is to become small (`min`) or large (`max`)."""
    return "min" if metric.endswith(("loss", "perplexity")) else "max"


def _refuse_interpolations(value: Any, key: str) -> None:
    """`${oc.env:NAME}` in a recipe or a foreign checkpoint would carry the environment into names and files."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _refuse_interpolations(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_interpolations(inner, key)
    elif isinstance(value, str) and "${" in value:
        raise ConfigError(f"{key}={value[:80]!r}: interpolations are not resolved; write the value itself")


def parse(values: Mapping[str, Any]) -> Config:
    """Turns composed values (a DictConfig or a plain mapping) into a checked `Config`.

    Raises:
        ConfigError: a key that does not exist, a wrong type or an impossible value, as one line.
    """
    _refuse_interpolations(OmegaConf.to_container(values) if OmegaConf.is_config(values) else values, "")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), values)
        config = OmegaConf.to_object(merged)
    except ConfigKeyError as error:
        raise ConfigError(
            f"{error.full_key}: there is no such setting; `python train.py --cfg job` lists them"
        ) from None
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from None
    assert isinstance(config, Config)
    return config
