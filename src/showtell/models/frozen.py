"""The frozen encoder of a run: which weights, on which device, in which precision; built only when it is needed."""

from functools import cached_property

import torch

from showtell.config import Config, ConfigError, DeviceConfig
from showtell.models.encoder import Encoder, build_encoder, encoder_fingerprint
from showtell.models.encoding import FastEncoder, encoding_precision
from showtell.models.weights import EncoderWeights, find_weights
from showtell.ranks import first_rank_first


class FrozenEncoder:
    """The run's encoder: its weights, found first where they must be downloaded, and the network, built when needed."""

    def __init__(self, config: Config) -> None:
        self.config = config.encoder
        self.device = resolve_device(config.device)
        self.precision = encoding_precision(config.features.precision, self.device)

    @cached_property
    def weights(self) -> EncoderWeights:
        """The weights; asked for after the captions, so that missing data is not downloaded for."""
        with first_rank_first():  # may download
            return find_weights(self.config)

    @cached_property
    def fingerprint(self) -> str:
        """Tells the encoder's answers from those of other weights, poolings and precisions."""
        return encoder_fingerprint(self.config, self.weights, self.precision)

    @cached_property
    def network(self) -> Encoder:
        """The frozen network."""
        return build_encoder(self.config, self.weights)

    def at_work(self) -> FastEncoder:
        """The encoder as it answers to many pictures."""
        return FastEncoder(self.network, self.device, self.precision)


def resolve_device(config: DeviceConfig) -> torch.device:
    """The device of this rank.

    Raises:
        ConfigError: a GPU is asked for and there is none, or more of them than there are.
    """
    if config.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("device.accelerator=gpu: this machine has no usable GPU; use device=cpu or device=auto")
    if config.accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if config.devices > torch.cuda.device_count():
        raise ConfigError(
            f"device.devices={config.devices}: this machine has {torch.cuda.device_count()} usable GPUs; "
            "use fewer, or device.accelerator=cpu"
        )
    return torch.device("cuda")
