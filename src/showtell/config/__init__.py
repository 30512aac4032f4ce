"""What a run is made of: one dataclass per section of the configuration, with its range checks.

YAML under `conf/` holds the values, this file holds types and limits, plain Python builds the objects. Everything
that enters passes one gate, `parse`, after which nobody meets an OmegaConf object. A refused value is a `ConfigError`
whose single line names the key, the value and the remedy.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from showtell.config.checks import within
from showtell.config.data import (
    AugmentConfig,
    DataConfig,
    EncoderConfig,
    FeaturesConfig,
    ImageTransform,
    ShapesConfig,
)
from showtell.config.decoder import (
    DECODERS,
    DECODING_METHODS,
    GRID_DECODERS,
    DecoderConfig,
    DecodingConfig,
    VocabConfig,
)
from showtell.config.training import DeviceConfig, SweepConfig, TrainingConfig
from showtell.errors import ConfigError

__all__ = [
    "DECODERS",
    "DECODING_METHODS",
    "GRID_DECODERS",
    "AugmentConfig",
    "Config",
    "ConfigError",
    "DataConfig",
    "DecoderConfig",
    "DecodingConfig",
    "DeviceConfig",
    "EncoderConfig",
    "FeaturesConfig",
    "ImageTransform",
    "ShapesConfig",
    "SweepConfig",
    "TrainingConfig",
    "VocabConfig",
    "monitor_mode",
    "parse",
]


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
        within("seed", self.seed, 0, 2**31 - 1)
        if not self.name or "/" in self.name or self.name.startswith("."):
            raise ConfigError(f"name={self.name!r} cannot name a folder; use letters, digits, - and _")
        if self.encoder.pooling == "auto":
            self.encoder.pooling = "grid" if self.decoder.name in GRID_DECODERS else "average"
        if self.encoder.pooling == "grid" and self.decoder.name not in GRID_DECODERS:
            raise ConfigError(
                f"encoder.pooling=grid: decoder.name={self.decoder.name} reads one vector; "
                "use encoder.pooling=average or decoder=attention"
            )
        self._refuse_views_of_nothing()
        if self.features.mode == "store":
            self._refuse_what_stored_features_cannot_do()

    def adopting(self, first: "Config") -> "Config":
        """A second stage's configuration with the first one's encoder, decoder and vocabulary.

        Only `encoder.finetune_blocks` may grow.
        """
        count = max(self.encoder.finetune_blocks, first.encoder.finetune_blocks)
        encoder = replace(first.encoder, finetune_blocks=count)
        return replace(self, encoder=encoder, decoder=first.decoder, vocab=first.vocab)

    def _refuse_views_of_nothing(self) -> None:
        if self.features.views == 1:
            return
        views = f"features.views={self.features.views}"
        if self.features.mode == "off":
            raise ConfigError(
                f"{views}: with features=off every caption changes its picture anew; use features.views=1"
            )
        if not self.data.augment.active:
            raise ConfigError(f"{views}: nothing changes the pictures; set data.augment.crop_area, jitter or flip")

    def _refuse_what_stored_features_cannot_do(self) -> None:
        if self.encoder.finetune_blocks:
            raise ConfigError(
                f"encoder.finetune_blocks={self.encoder.finetune_blocks}: stored features are a frozen encoder's; "
                "use features=off (features.mode=off)"
            )
        if self.data.augment.active and self.features.views == 1:
            raise ConfigError(
                f"data.augment={asdict(self.data.augment)}: stored features are those of unchanged pictures; "
                "use features.views=8 to store changed ones too, or features=off (features.mode=off)"
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
