"""The configuration of a run: its schema, the gate, what each setting says of itself, and the parts by name."""

from showtell.config.decoding import DecodingConfig
from showtell.config.gate import parse, register_with_hydra, restore
from showtell.config.registry import declare, find, names, register, settings
from showtell.config.schema import Config, ImageTransform, monitor_mode
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
from showtell.config.setting import Section, Setting, section, setting, walk
from showtell.config.sweep import SweepConfig
from showtell.errors import ConfigError

__all__ = [
    "AugmentConfig", "Config", "ConfigError", "DataConfig", "DecoderConfig", "DecodingConfig", "DeviceConfig",
    "EncoderConfig", "FeaturesConfig", "ImageTransform", "ObjectiveConfig", "Section", "Setting", "SweepConfig",
    "TrainingConfig", "VocabConfig", "declare", "find", "monitor_mode", "names", "parse", "register",
    "register_with_hydra", "restore", "section", "setting", "settings", "walk",
]  # fmt: skip
