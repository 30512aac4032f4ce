"""The sections of the configuration that every run has, and the base of those that are a part's.

Types, defaults and limits of what decoders, encoders, objectives and data formats add stand beside these parts.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from showtell.config.setting import SCORED_ONLY, Needs, Section, section, setting
from showtell.errors import ConfigError

_IN_FILES = (Needs("data.format", other_than=("shards",)),)
_BPE = (Needs("vocab.tokenizer", ("bpe",)),)
_STORED = (Needs("features.mode", ("store",)),)


@dataclass(kw_only=True, unsafe_hash=True)  # nobody changes one, and looks at a picture are told apart by it
class AugmentConfig(Section):
    """How training pictures are changed at random; with these values, not at all."""

    key: ClassVar[str] = "data.augment"

    crop_area: float = setting(1.0, "a crop keeps at least this share of a picture's area", low=0.05, high=1)
    jitter: float = setting(0.0, "brightness, contrast and saturation change by at most this share", low=0, high=0.9)
    flip: bool = setting(False, "mirrors every second picture, unless its caption says left or right, in English")

    @property
    def active(self) -> bool:
        """Whether anything is changed."""
        return self.crop_area < 1 or self.jitter > 0 or self.flip


@dataclass(kw_only=True)
class DataConfig(Section):
    """Where pictures and captions lie. Relative paths start at `root`, and `root` at the working directory."""

    key: ClassVar[str] = "data"

    name: str = setting("coco", "what logs and caches call the data set", hyperparameter=True)
    format: str = setting("coco", "how its captions are written down")
    root: str = setting("data/coco", "the folder that holds it", on_resume="ignore", named=False)
    train_annotations: str = setting(
        "annotations/captions_train.json", "captions of the training pictures", needs=_IN_FILES
    )
    val_annotations: str = setting(
        "annotations/captions_val.json", "captions of the validation pictures", needs=_IN_FILES
    )
    train_images: str = setting("train", "folder of the training pictures", needs=_IN_FILES)
    val_images: str = setting("val", "folder of the validation pictures", needs=_IN_FILES)
    test_annotations: str | None = setting(None, "captions of the test pictures; null: there are none", **SCORED_ONLY)
    test_images: str | None = setting(None, "folder of the test pictures; null: as val_images", **SCORED_ONLY)
    num_workers: int = setting(
        2, "processes that decode pictures; 0: none", low=0, high=256, on_resume="ignore", identifies=False,
        compared=False,
    )  # fmt: skip
    bad_pictures: str = setting("skip", "leave out what cannot be used and say so, or stop", choices=("skip", "fail"))
    max_caption_words: int = setting(50, "longer captions are cut", low=1, high=1000)
    extra_captions: str | None = setting(
        None, "file with further captions of training pictures, as predict.py --output writes them; words are counted "
        "and rewards given without them; the path starts at the working directory", needs=_IN_FILES,
    )  # fmt: skip
    augment: AugmentConfig = section(AugmentConfig, "how training pictures are changed at random")

    @property
    def test_remedy(self) -> str:
        """What gives it a test split; empty where it has one."""
        named = self.test_annotations is not None
        return "" if named else "name its captions by data.test_annotations=FILE, its pictures by data.test_images=DIR"


@dataclass(kw_only=True)
class EncoderConfig(Section):
    """The frozen encoder: which one, with which weights, and what of its features is kept."""

    key: ClassVar[str] = "encoder"

    name: str = setting("efficientnet_lite0", "the network")
    weights: str = setting(
        "imagenet", "imagenet (the best that are published), a published name such as IMAGENET1K_V2, a file, or none"
    )
    pooling: str = setting(
        "auto",
        "average: one vector; grid: every place of the last map is a region; grid:7: averaged to 7 x 7 of them; "
        "tokens, tokens:7: with the vector as one more; multi, multi:7: with an earlier map's features beside the last "
        "one's; cells: a grid that knows colours; quarters: four regions that do; auto: grid for a decoder that reads "
        "regions, else average",
    )
    image_size: int = setting(
        0, "side of the square a picture becomes; 0: what the weights were trained with", low=0, high=4096
    )
    fit: str = setting(
        "auto",
        "how it becomes one; stretch: whole; center: its middle; pad: with borders; auto: as the weights want it",
        choices=("auto", "stretch", "center", "pad"),
    )
    finetune_blocks: int = setting(
        0, "so many of its last blocks are trained too; 0: all of it stays frozen", low=0, high=1000
    )

    SMALLEST: ClassVar[int] = 32
    POOLINGS: ClassVar[tuple[str, ...]] = ("auto", "average", "grid", "tokens", "multi", "cells", "quarters")

    @property
    def gives_regions(self) -> bool:
        """Whether a picture becomes as many regions as its map has places, which only attention reads."""
        return self.pooling.partition(":")[0] in ("grid", "tokens", "multi")

    def check(self) -> None:
        """A picture of a few pixels shows nothing; a pooling is a word, and a number behind it."""
        if 0 < self.image_size < self.SMALLEST:
            least = f"it must be at least {self.SMALLEST}, or 0"
            raise ConfigError(f"encoder.image_size={self.image_size} is out of range; {least}")
        if self.pooling not in self.POOLINGS and not re.fullmatch("(grid|tokens|multi):[1-9][0-9]?", self.pooling):
            known = ", ".join((*self.POOLINGS, "grid:N", "tokens:N", "multi:N"))
            raise ConfigError(f"encoder.pooling={self.pooling!r} is not an option; choose one of {known}")


@dataclass(kw_only=True)
class DecoderConfig(Section):
    """What all decoders have; each adds settings of its own."""

    key: ClassVar[str] = "decoder"
    reads_regions: ClassVar[bool] = False
    """Whether it attends to regions; else it reads one vector per picture."""
    chooses_regions: ClassVar[bool] = False
    """Whether it chooses among them for each word, which with a single one is nothing."""
    brings_tokenizer: ClassVar[bool] = False
    """Whether captions are cut by a tokenizer of its own."""

    name: str = setting("lstm", "which decoder", on_resume="refuse")
    embedding_size: int = setting(256, "size of a word's vector", low=1, high=65_536, on_resume="refuse")
    hidden_size: int = setting(100, "size of the hidden state", low=1, high=65_536, on_resume="refuse")
    dropout: float = setting(0.0, "dropout before the output words", low=0, high=0.99)
    word_dropout: float | None = setting(None, "dropout of word embeddings; null: as `dropout`", low=0, high=0.99)
    feature_dropout: float | None = setting(None, "dropout of features; null: as `dropout`", low=0, high=0.99)
    tie_embeddings: bool = setting(False, "input and output words share one matrix", on_resume="refuse")
    word_vectors: str | None = setting(None, "file of pretrained vectors, one word and its numbers per line (GloVe's)")


@dataclass(kw_only=True)
class ObjectiveConfig(Section):
    """What a training step minimizes; each objective adds settings of its own."""

    key: ClassVar[str] = "objective"
    needs_trained_start: ClassVar[bool] = False
    """Whether it makes sense only with `init_from`."""
    needs_references: ClassVar[bool] = False
    """Whether it needs the training captions as they were written."""

    name: str = setting("cross_entropy", "which objective")


@dataclass(kw_only=True)
class VocabConfig(Section):
    """Which words of the training captions a decoder knows."""

    key: ClassVar[str] = "vocab"

    threshold: int = setting(
        4, "times a word must occur in the training captions; rarer ones become <unk>", low=1, high=1_000_000
    )
    tokenizer: str = setting(
        "nltk", "nltk: English; words: others with blanks; characters: Chinese, Japanese, Thai; bpe: pieces of words, "
        "learnt from the training captions"
    )  # fmt: skip
    size: int = setting(2000, "tokens of bpe", low=100, high=100_000, needs=_BPE)
    pretokenizer: str = setting(
        "nltk", "whose words bpe cuts, and scores compare", choices=("nltk", "words", "characters"), needs=_BPE
    )


@dataclass(kw_only=True)
class DeviceConfig(Section):
    """What the run computes on: processes on machines, one per GPU where there are GPUs."""

    key: ClassVar[str] = "device"

    accelerator: str = setting(
        "auto", "auto: a GPU where there is one; mps is Apple's (untried here)", choices=("auto", "cpu", "gpu", "mps")
    )
    devices: int = setting(1, "processes on each machine", low=1, high=64)
    num_nodes: int = setting(1, "machines", low=1, high=10_000)
    timeout_seconds: int = setting(
        1800, "so long a collective of processes may wait", low=1, high=1_000_000, on_resume="ignore"
    )
    precision: str = setting(
        "32-true", "of training; auto: bf16-mixed where the machine computes it faster",
        choices=("auto", "32-true", "bf16-mixed", "16-mixed"),
    )  # fmt: skip
    compile: bool = setting(False, "torch.compile for the decoder")


@dataclass(kw_only=True)
class FeaturesConfig(Section):
    """Whether the frozen encoder's features are kept on disk or computed in every step."""

    key: ClassVar[str] = "features"

    mode: str = setting(
        "store", "store: each picture is seen once per data set; off: in every step", choices=("store", "off")
    )
    views: int = setting(
        1, "features kept of a training picture: with data.augment, one as it is, the others changed", low=1, high=1000
    )
    dtype: str = setting("float16", "type on disk", choices=("float16", "float32", "bfloat16", "int8"), needs=_STORED)
    place: str = setting(
        "auto", "where they lie during training; auto: by size", choices=("auto", "ram", "gpu", "disk"),
        on_resume="ignore", identifies=False, compared=False,
    )  # fmt: skip
    precision: str = setting(
        "auto", "the encoder's; auto: bfloat16 where the hardware has it", choices=("auto", "float32", "bfloat16")
    )
    backend: str = setting(
        "torch", "what runs the encoder for a store; openvino, an extra, is faster on a CPU (docs/encoders.md)",
        choices=("torch", "openvino"), needs=_STORED,
    )  # fmt: skip
    batch_size: int = setting(
        32, "pictures per forward pass of the encoder", low=1, high=65_536, on_resume="ignore", identifies=False,
        compared=False,
    )  # fmt: skip


@dataclass(kw_only=True)
class TrainingConfig(Section):
    """The optimization: length, batch, optimizer, schedule, and when to write a checkpoint or stop."""

    key: ClassVar[str] = "training"

    max_epochs: int = setting(10, "epochs to train", low=1, high=1_000_000, on_resume="length", identifies=False)
    max_steps: int = setting(
        -1, "stop after this many optimizer steps; -1: never", low=-1, high=1_000_000_000, on_resume="length"
    )
    batch_size: int = setting(64, "captions of one length per step, over all processes", low=1, high=65_536)
    accumulate_batches: int = setting(1, "batches whose gradients make one optimizer step", low=1, high=65_536)
    learning_rate: float = setting(1e-3, "Adam's", above=0, high=1e37)
    encoder_learning_rate: float = setting(
        1e-5, "of the blocks that encoder.finetune_blocks counts; 0 keeps them as a first stage left them", low=0,
        high=1e37, on_resume="switch", needs=(Needs("encoder.finetune_blocks"), Needs("init_from")),
    )  # fmt: skip
    weight_decay: float = setting(0.0, "Adam's", low=0, high=1000)
    weight_average: float = setting(
        0.0, "decay of the moving average of the weights (EMA) that validation and prediction use; 0: none",
        low=0, high=0.99999, on_resume="switch",
    )  # fmt: skip
    gradient_clip: float = setting(0.0, "largest norm of the gradient; 0: no limit", low=0, high=1e9)
    schedule: str = setting("constant", "of the learning rate", choices=("constant", "cosine", "plateau"))
    warmup_steps: int = setting(0, "steps in which the learning rate grows from 0", low=0, high=1_000_000_000)
    monitor: str = setting(
        "val/cider", "the metric that the best checkpoint and early stopping go by", on_resume="ignore"
    )
    monitor_mean: int = setting(
        0, "an epoch is judged by the mean of `monitor` over it and the validations before, so many in all; "
        "0: 3, but 1 for a loss", low=0, high=1000, on_resume="ignore", identifies=False,
    )  # fmt: skip
    early_stopping_epochs: int = setting(
        0, "stop after so many epochs without a better one; 0: never", low=0, high=1_000_000, on_resume="ignore"
    )
    checkpoint_every_steps: int = setting(
        0, "write last.ckpt so often, besides the end of each epoch; 0: not", low=0, high=1_000_000_000,
        on_resume="ignore", identifies=False,
    )  # fmt: skip
    checkpoint_every_minutes: float = setting(
        0.0, "the same by the clock", low=0, high=1_000_000, on_resume="ignore", identifies=False
    )
    log_every_steps: int = setting(
        10, "steps between two lines of metrics", low=1, high=1_000_000_000, on_resume="ignore", identifies=False,
        compared=False,
    )  # fmt: skip
    sample_pictures: int = setting(
        12, "validation pictures shown with their captions", low=0, high=1000, on_resume="ignore", identifies=False,
        compared=False,
    )  # fmt: skip
    val_pictures: int = setting(
        0, "validation pictures captioned each epoch, evenly spread; 0: all", low=0, high=1_000_000_000
    )
    overfit_batches: int = setting(0, "train on the first so many batches only; 0: on all", low=0, high=1_000_000_000)
    limit_train_batches: int = setting(
        0, "batches of an epoch; 0: all", low=0, high=1_000_000_000, needs=(Needs("training.overfit_batches", (0,)),)
    )
    limit_val_batches: int = setting(0, "batches of a validation; 0: all", low=0, high=1_000_000_000)
    metrics: list[str] = setting([], "further metrics of a validation, by registered name")
    test: bool = setting(
        False, "score the test split at the end, with the best checkpoint", hyperparameter=False, **SCORED_ONLY
    )
    loggers: list[str] = setting(
        ["tensorboard", "csv"], "who writes the curves down: tensorboard, csv, wandb, mlflow, trackio, a plugin's; "
        "logger=[...] for short (docs/loggers.md)", on_resume="ignore", identifies=False, compared=False,
    )  # fmt: skip

    @property
    def mean_window(self) -> int:
        """`monitor_mean` with an answer; a loss of many words jumps less than a score of a hundred captions."""
        return self.monitor_mean or (1 if self.monitor.endswith(("loss", "perplexity")) else 3)

    def check(self) -> None:
        """A plateau schedule has no warm-up."""
        if self.schedule == "plateau" and self.warmup_steps:
            raise ConfigError("training.warmup_steps: plateau has no warm-up; set it to 0, or training.schedule=cosine")
