"""Encoders that are made of other encoders: the contract, of which `pair.py` is one."""

from abc import ABC, abstractmethod
from typing import Any

from showtell.config import EncoderConfig, find
from showtell.models.encoders.weights import EncoderWeights


class Composite(ABC):
    """A class is built by `(config)`, the settings of the section `encoder`, as a `Backbone` is."""

    def __init__(self, config: EncoderConfig) -> None:
        self.config = config

    @abstractmethod
    def weights(self) -> EncoderWeights:
        """What the encoders start from, as one."""

    @abstractmethod
    def encoder(self, weights: EncoderWeights) -> Any:
        """They as one `Encoder`."""

    @abstractmethod
    def code(self) -> str:
        """The hashes of plugins' files, which decide features too; empty for shipped families."""


def find_composite(config: EncoderConfig) -> Composite | None:
    """What makes one encoder of several under this name; None where it is a single network."""
    built = find("encoder", config.name).load()
    return built(config) if isinstance(built, type) and issubclass(built, Composite) else None
