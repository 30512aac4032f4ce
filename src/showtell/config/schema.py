"""What a run is made of: its sections, and what two of them must not say together.

YAML under `conf/` holds choices and recipes, plain Python builds the objects, and types, defaults and limits stand in
`sections.py` or, where a section is a part's (data, encoder, decoder, objective), beside the parts. Everything that
enters passes `parse`, after which nobody meets an OmegaConf object.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any

from showtell.config.decoding import DecodingConfig
from showtell.config.registry import NAMED, find, parts, settings
from showtell.config.sections import (
    AugmentConfig,
    DataConfig,
    DecoderConfig,
    DeviceConfig,
    EncoderConfig,
    FeaturesConfig,
    ObjectiveConfig,
    TrainingConfig,
    VocabConfig,
)
from showtell.config.setting import Section, flat, section, setting, spelled, walk
from showtell.config.sweep import SweepConfig
from showtell.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ImageTransform:
    """How a picture becomes an encoder's input. It belongs to the encoder's weights and travels in the checkpoint.

    Attributes:
        size: side of the square, in pixels.
        interpolation: of resizing, by torchvision's names.
        mean: subtracted from values in [0, 1].
        std: what is divided by.
        fit: `stretch`: the whole picture, whatever its sides; `center`: the shorter side is scaled to `size / crop`
            and the middle is cut out; `squash`: stretched to `size / crop` first, then cut; `pad`: the longer side is
            scaled, and the mean colour lies around. The last three are timm's, by Pillow.
        crop: the share of a side that is kept.
        beside: how the picture becomes the input of a pair's second encoder. The pixels of both, S1 and S2 to a side,
            then lie one after the other, `(3, S1 ** 2 + S2 ** 2, 1)`.
    """

    size: int = 224
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    fit: str = "stretch"
    crop: float = 1.0
    beside: "ImageTransform | None" = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "ImageTransform":
        """By its `facts`, with lists for tuples where they were a file."""
        own: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
        return cls(**own | ({"beside": cls.of(own["beside"])} if "beside" in own else {}))

    @property
    def parts(self) -> list["ImageTransform"]:
        """One for each encoder that sees the picture."""
        return [replace(self, beside=None), *([] if self.beside is None else self.beside.parts)]

    def facts(self) -> dict[str, Any]:
        """What decides pixels, for hashes and files; what is not used, and older versions did not have, is left out."""
        told = asdict(self) | {"beside": self.beside and self.beside.facts()}
        unused = {"fit", "crop"} if self.fit == "stretch" else set()
        return {name: told[name] for name in told if name not in unused and told[name] is not None}


ADOPTED = ("encoder", "decoder", "vocab")
"""Sections that a second stage has of its first one, whatever it says itself."""


@dataclass(kw_only=True)
class Config(Section):
    """One run. The sections are the groups under `conf/`."""

    name: str = setting("captions", "runs/NAME/STAMP is the run's directory", on_resume="ignore", named=False)
    seed: int = setting(1, "of weights, order and dropout", low=0, high=2**31 - 1, compared=False, hyperparameter=True)
    resume: str | None = setting(
        None, "a run directory or a checkpoint to go on from", on_resume="ignore", identifies=False, compared=False
    )
    init_from: str | None = setting(
        None, "a run or a checkpoint whose encoder, decoder and weights a new run starts with"
    )
    then: str | None = setting(
        None, "a recipe, such as scst: a second stage that starts by itself when this one has finished",
        on_resume="ignore",
    )  # fmt: skip
    second: dict[str, Any] = setting(
        dict, "settings of the second stage, as second.training.max_epochs=3; second.init_from=last is what it starts "
        "with, else best", on_resume="ignore", chosen_together=True,
    )  # fmt: skip
    by_size: dict[str, Any] = setting(
        dict, "settings by the number of training captions, in rows to_NUMBER and more; the command line wins",
        on_resume="ignore", identifies=False, compared=False,
    )  # fmt: skip
    cache: str = setting(
        "cache", "folder of feature stores and tokenized captions, shared by all runs", on_resume="ignore",
        identifies=False, compared=False,
    )  # fmt: skip
    data: DataConfig = section(partial(settings, "format", "shapes"), "pictures and captions", chosen_together=True)
    encoder: EncoderConfig = section(
        partial(settings, "encoder", "efficientnet_lite0"), "the frozen encoder", on_resume="refuse",
        hyperparameter=True, chosen_together=True,
    )  # fmt: skip
    decoder: DecoderConfig = section(partial(settings, "decoder", "lstm"), "the decoder", hyperparameter=True)
    objective: ObjectiveConfig = section(
        partial(settings, "objective", "cross_entropy"), "what a step minimizes", hyperparameter=True
    )
    vocab: VocabConfig = section(VocabConfig, "the vocabulary", on_resume="refuse", hyperparameter=True)
    device: DeviceConfig = section(DeviceConfig, "what the run computes on", identifies=False)
    features: FeaturesConfig = section(FeaturesConfig, "stored features")
    decoding: DecodingConfig = section(DecodingConfig, "how captions are read off the decoder", on_resume="ignore")
    training: TrainingConfig = section(TrainingConfig, "the optimization", hyperparameter=True)
    sweep: SweepConfig = section(SweepConfig, "how a sweep goes", on_resume="ignore", identifies=False, compared=False)

    def check(self) -> None:
        """Answers what follows from other settings, and refuses settings of two sections that contradict each other."""
        if not self.name or "/" in self.name or self.name.startswith("."):
            raise ConfigError(f"name={self.name!r} cannot name a folder; use letters, digits, - and _")
        if self.encoder.pooling == "auto":
            self.encoder.pooling = "grid" if self.decoder.reads_regions else "average"
        if self.second and not (self.then or self.by_size):
            key = next(iter(flat(self.second)))
            raise ConfigError(f"second.{key} has no effect without a second stage; name its recipe, as then=scst")
        for key, kind in NAMED.items():
            named = attrgetter(key)(self)
            for one in [named] if isinstance(named, str) else named:
                find(kind, one)
        for refusal in (*self._model_refusals(), *self._data_refusals()):
            raise ConfigError(refusal)

    def _model_refusals(self) -> list[str]:
        found = []
        if self.encoder.gives_regions and not self.decoder.reads_regions:
            found.append(
                f"encoder.pooling={self.encoder.pooling}: decoder={self.decoder.name} reads one vector; "
                "use encoder.pooling=average or decoder=attention"
            )
        if self.decoder.brings_tokenizer and self.vocab.tokenizer == "bpe":
            found.append(
                f"vocab.tokenizer=bpe: decoder={self.decoder.name} cuts words by its own; leave it out, or use "
                "vocab.tokenizer=words where the captions are not English"
            )
        objective = f"objective={self.objective.name}"
        if self.objective.needs_references and self.data.format == "shards":
            found.append(
                f"{objective} needs all captions in memory and data=shards streams them; train this stage on a data "
                "set with annotation files"
            )
        if self.objective.needs_trained_start and not self.init_from:
            found.append(
                f"{objective}: an untrained decoder draws nothing worth a reward; "
                "give a trained run's directory, init_from=runs/NAME/STAMP"
            )
        return found

    def _data_refusals(self) -> list[str]:
        plain, augment = asdict(AugmentConfig()), asdict(self.data.augment)
        changed = " ".join(
            f"data.augment.{name}={spelled(augment[name])}" for name in plain if augment[name] != plain[name]
        )
        views = f"features.views={self.features.views}"
        stored, blocks = self.features.mode == "store", self.encoder.finetune_blocks
        found = []
        if self.training.test and self.data.test_remedy:
            found.append(
                f"training.test=true: data={self.data.name} has no test split, only train and val; "
                f"{self.data.test_remedy}, or leave it out"
            )
        if self.data.augment.active and self.data.format == "shards":
            found.append(f"{changed}: not with data=shards; set it back, or use a folder")
        if self.features.views > 1 and not stored:
            found.append(f"{views}: with features=off every caption changes its picture anew; use features.views=1")
        if self.features.views > 1 and not self.data.augment.active:
            found.append(f"{views}: nothing changes the pictures; set data.augment.crop_area, jitter or flip")
        if stored and blocks:
            found.append(
                f"encoder.finetune_blocks={blocks}: stored features are a frozen encoder's; "
                "use features=off (features.mode=off)"
            )
        if stored and self.data.augment.active and self.features.views == 1:
            found.append(
                f"{changed}: stored features are those of unchanged pictures; "
                "use features.views=8 to store changed ones too, or features=off (features.mode=off)"
            )
        return found

    def adopting(self, first: "Config") -> "Config":
        """A second stage's configuration with the first one's encoder, decoder and vocabulary.

        Only `encoder.finetune_blocks` may grow.
        """
        count = max(self.encoder.finetune_blocks, first.encoder.finetune_blocks)
        encoder = replace(first.encoder, finetune_blocks=count)
        return replace(self, encoder=encoder, decoder=first.decoder, vocab=first.vocab)

    def overruled_by(self, first: "Config") -> list[str]:
        """A line for each setting that was chosen here and of which the first stage has another value."""
        before, own, plain = flat(first.as_dict()), flat(self.as_dict()), flat(Config().as_dict())
        told = (one for name in ADOPTED for one in walk(getattr(self, name), name))
        chosen = [one for one in told if own[one.key] not in (one.default, plain.get(one.key))]
        return [
            f"{one.key}={spelled(own[one.key])} is not used; init_from brings {spelled(before[one.key])}"
            for one in chosen
            if one.key in before and one.key not in ("encoder.pooling", "encoder.finetune_blocks")
            and own[one.key] != before[one.key]
        ]  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """The whole configuration as plain containers, fit for a checkpoint."""
        return asdict(self)


def monitor_mode(metric: str) -> str:
    """Whether a metric, or its mean, is to become small (`min`) or large (`max`); of a plugin's, its class says so."""
    metric = metric.removesuffix("_mean")
    small = {one for part in parts("metric") if part.origin for one in getattr(part.load(), "smaller_is_better", ())}
    return "min" if metric.endswith(("loss", "perplexity")) or metric.removeprefix("val/") in small else "max"
