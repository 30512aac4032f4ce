"""The frozen encoder of a run: on which device it works on many pictures, and in which precision."""

from functools import cached_property

import torch

from showtell.config import Config, ConfigError, DeviceConfig
from showtell.models.encoder import LazyEncoder
from showtell.models.encoding import FastEncoder, encoding_precision


class FrozenEncoder(LazyEncoder):
    """The encoder that a run's decoder is trained on, and that its feature stores ask."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.encoder)
        self.device = resolve_device(config.device)
        self.precision = encoding_precision(config.features.precision, self.device)

    @cached_property
    def fingerprint(self) -> str:
        """Tells its features from those of other weights, poolings and precisions."""
        return self.fingerprint_at(self.precision)

    def at_work(self) -> FastEncoder:
        """The encoder at full speed, for many pictures."""
        return FastEncoder(self.network, self.device, self.precision)


def resolve_device(config: DeviceConfig) -> torch.device:
    """The device of this rank.

    Raises:
        ConfigError: a GPU is asked for and there is none, or more of them than there are.
    """
    if config.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("device.accelerator=gpu: this machine has no usable GPU; use device=cpu or device=auto")
    if config.accelerator == "mps":
        if not torch.backends.mps.is_available():
            raise ConfigError("device.accelerator=mps: this machine has no usable Apple GPU; use device=cpu")
        return torch.device("mps")
    if config.accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if config.devices > torch.cuda.device_count():
        raise ConfigError(
            f"device.devices={config.devices}: this machine has {torch.cuda.device_count()} usable GPUs; "
            "use fewer, or device.accelerator=cpu"
        )
    return torch.device("cuda")
