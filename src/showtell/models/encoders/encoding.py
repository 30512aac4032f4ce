"""A run's frozen encoder at work: built when it is asked for, and at full speed for feature stores and prediction.

Full speed is inference mode, channels-last, each BatchNorm folded into the convolution before it (frozen, it is a scale
and a shift), and bfloat16 where a unit computes it faster than float32 (`models/precision.py`). Figures stand in
`docs/decisions/encoder_speed.md`.
"""

import copy
import json
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from showtell.config import Config, ConfigError, DeviceConfig, EncoderConfig, ImageTransform
from showtell.distributed import rank_zero_first
from showtell.files import atomic_write, short_hash
from showtell.models.encoders.base import Encoder, build_encoder, find_backbone, find_weights
from showtell.models.encoders.composite import find_composite
from showtell.models.encoders.openvino import OpenVinoEncoder, check_openvino
from showtell.models.encoders.pair import parts_of
from showtell.models.encoders.weights import OFFLINE, EncoderWeights, UnreachableError, WeightsError
from showtell.models.precision import encoding_precision
from showtell.models.settings import TimmConfig

CPU_BATCH = 8
TRAVELLING_WEIGHTS = "encoder.pt"


class LazyEncoder:
    """A run's frozen encoder, whose weights are found and whose network is built when they are first asked for.

    Being no `nn.Module`, it stays out of the parameters, the optimizer and the state dict of whoever holds it.
    """

    def __init__(self, config: EncoderConfig) -> None:
        self.config = config

    @cached_property
    def weights(self) -> EncoderWeights:
        """Where the weights come from, their hash, and the transform that goes with them."""
        with rank_zero_first():  # may download
            return find_weights(self.config)

    @cached_property
    def network(self) -> Encoder:
        """The encoder itself."""
        return build_encoder(self.config, self.weights)

    def save_weights(self, folder: Path) -> None:
        """Writes weights that nobody could fetch again beside a run's checkpoints; public ones are not written."""
        path = folder / TRAVELLING_WEIGHTS
        if self.weights.public or path.is_file():
            return
        with atomic_write(path) as file:
            torch.save(self.network.state_dict(), file)


class FrozenEncoder(LazyEncoder):
    """The encoder that a run's decoder is trained on, and that its feature stores ask."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.encoder)
        self.run = config
        self.is_given = bool(config.resume or config.init_from) or len(parts_of(config.encoder)) > 1
        self.device = resolve_device(config.device)
        self.precision = encoding_precision(config.features.precision, self.device)
        if config.features.backend == "openvino":
            check_openvino(self.device)

    @cached_property
    def weights(self) -> EncoderWeights:
        """As there; who may still choose another encoder is told of the one that needs no network."""
        try:
            return super().weights
        except UnreachableError as error:
            raise error if self.is_given else WeightsError(f"{error}, or {OFFLINE}") from None

    @cached_property
    def network(self) -> Encoder:
        """As there; a new run shows it whole pictures."""
        built, size = super().network, self.config.image_size
        for patch in {part.patch for part in built.parts if part.patch and not (self.run.resume or self.run.init_from)}:
            if left := size % patch:
                sizes = [str(one) for one in (size - left, size - left + patch) if one >= EncoderConfig.SMALLEST]
                raise ConfigError(
                    f"encoder.image_size={size}: {self.config.name} sees patches of {patch} x {patch}, so {left} rows "
                    f"and columns would be cut off; use encoder.image_size={' or '.join(sizes)}"
                )
        return built

    @cached_property
    def parts(self) -> list["FrozenEncoder"]:
        """One for each feature store that a split has: itself, or both of a pair."""
        configs = parts_of(self.config)
        return [self] if len(configs) == 1 else [FrozenEncoder(replace(self.run, encoder=one)) for one in configs]

    @cached_property
    def fingerprint(self) -> str:
        """Tells its features from those of other weights, poolings, precisions and backends."""
        return encoder_fingerprint(self.config, self.weights, self.precision, self.run.features.backend)

    def at_work(self) -> "FastEncoder | OpenVinoEncoder":
        """The encoder at full speed, for many pictures."""
        if self.run.features.backend == "openvino":
            return OpenVinoEncoder(folded_copy(self.network), self.precision)
        return FastEncoder(self.network, self.device, self.precision)


def encoder_fingerprint(config: EncoderConfig, weights: EncoderWeights, precision: str, backend: str = "torch") -> str:
    """A hash of everything that decides a feature's value; a shipped network is not built for it."""
    facts = {
        "name": config.name,
        "pooling": config.pooling,
        "weights": weights.sha256,
        "transform": weights.transform.facts(),
        "precision": precision,
    }
    if backend != "torch":  # which older stores do not name
        facts["backend"] = backend
    if isinstance(config, TimmConfig) and config.vector != "auto":
        facts["vector"] = config.vector
    if code := (find_composite(config) or find_backbone(config)).code():
        facts["code"] = code
    return short_hash([json.dumps(facts, sort_keys=True)])


def recorded_weights(
    config: EncoderConfig, sha256: str, public: bool, transform: ImageTransform, folder: Path
) -> EncoderWeights:
    """The weights that a checkpoint in this folder names: public ones are found again, others are its `encoder.pt`.

    Raises:
        WeightsError: they cannot be had.
    """
    if not public:
        path = folder / TRAVELLING_WEIGHTS
        if not path.is_file():
            raise WeightsError(
                f"{path}: the encoder of this model had weights of its own; copy {path.name} beside the checkpoint"
            )
        return EncoderWeights(path, sha256, transform, public=False, travelled=True)
    weights = find_weights(config)
    if weights.sha256 != sha256:
        raise WeightsError(
            f"encoder={config.name}: {weights.path} is not the file that this model was trained with "
            f"(sha256 {weights.sha256[:12]}, wanted {sha256[:12]}); put the right one there"
        )
    return replace(weights, transform=transform)


def installs_with_showtell(config: EncoderConfig) -> bool:
    """Whether the weights that the settings name are packages which come with Showtell."""
    backbones = [find_backbone(one) for one in parts_of(config)]
    return all(one.installs and one.config.weights in one.published_names() for one in backbones)


def licence_of(config: EncoderConfig) -> str:
    """Under which licence the weights of each encoder may be passed on: `efficientnet_lite0 (imagenet): Apache 2.0`."""
    unknown = "not known here; ask who published them"
    told = [(f"{one.name} ({one.weights})", find_backbone(one).licence() or unknown) for one in parts_of(config)]
    return "; ".join(f"{name}: {licence}" for name, licence in told)


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


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Folds BatchNorms into the convolutions that come directly before them, in place.

    Recognized by order of registration, which in the networks of torchvision and timm is the order of use wherever a
    BatchNorm of as many channels follows a convolution. A BatchNorm that brings its activation (timm's) keeps it.
    """
    for parent in list(network.modules()):
        children = list(parent.named_children())
        for (name, convolution), (next_name, norm) in pairwise(children):
            if _can_be_folded(convolution, norm):
                setattr(parent, name, fuse_conv_bn_eval(cast(nn.Conv2d, convolution), cast(nn.BatchNorm2d, norm)))
                activation = getattr(norm, "act", None)
                setattr(parent, next_name, activation if activation is not None else nn.Identity())
    return network


def _can_be_folded(convolution: nn.Module, norm: nn.Module) -> bool:
    return (
        isinstance(convolution, nn.Conv2d)
        and isinstance(norm, nn.BatchNorm2d)
        and convolution.out_channels == norm.num_features
    )


class FastEncoder:
    """Calls an encoder on a device in a precision: `(B, 3, S, S)` pixels to float32 `(B, *feature_shape)`."""

    def __init__(self, encoder: Encoder, device: torch.device, precision: str) -> None:
        # a copy: the caller's encoder keeps its names, for files that travel with a run
        self.parts = [_at_work(part, device) for part in encoder.parts]
        self.inputs = encoder.inputs
        self.device = device
        self.precision = precision
        self.feature_shape = encoder.feature_shape()

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """The features of normalized pixels, on the encoder's device."""
        parts = torch.split(pixels, CPU_BATCH) if self.device.type == "cpu" else [pixels]
        return torch.cat([self._encode(part) for part in parts])

    def _encode(self, pixels: Tensor) -> Tensor:
        inputs = [own.to(self.device, memory_format=torch.channels_last) for own in self.inputs(pixels)]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            features = [part(own).float() for part, own in zip(self.parts, inputs, strict=True)]
        return torch.cat(features, dim=-1) if len(features) > 1 else features[0]


def _at_work(encoder: Encoder, device: torch.device) -> Encoder:
    folded = folded_copy(encoder).to(device)
    if all(weight.ndim < 5 for weight in encoder.parameters()):  # a convolution over three axes has no such layout
        folded.to(memory_format=torch.channels_last)
    return folded


def folded_copy(encoder: Encoder) -> Encoder:
    """The encoder with its BatchNorms folded away, unless that changes what it says.

    Registration order is a convention and not a law, so one random picture is asked for with both.
    """
    folded = copy.deepcopy(encoder)
    fold_batch_norms(folded)
    size = encoder.transform.size
    generator = torch.Generator().manual_seed(0)
    weight = next(encoder.parameters())
    picture = torch.randn(1, 3, size, size, generator=generator).to(weight.device)
    with torch.inference_mode():
        expected, found = encoder(picture), folded(picture)
    return folded if (found - expected).abs().max() <= 1e-3 * expected.abs().max() else encoder
