"""Encoders: what one is made of, and the frozen network itself.

A family of networks is one file beside this one. It builds the network; which weights are published for it, it may say:

    @showtell.register("encoder", name="my_cnn")
    class MyCNN(Backbone):
        def build(self):
            return Network(nn.Sequential(nn.Conv2d(3, 32, 5, stride=4), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2)))

An encoder is always in `eval()` mode and has no gradient, so a picture has the same features every time; that is
what makes the feature store possible. `finetuning.py` trains its last blocks where a run asks for that.
Shape legend: B batch, R regions, D feature.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from showtell.config import ConfigError, EncoderConfig, ImageTransform, find
from showtell.models.encoders.composite import find_composite
from showtell.models.encoders.weights import EncoderWeights, WeightsError

COLORED = ("quarters", "cells")
"""Poolings that read the first layer beside the last block, and not the head."""


@dataclass(frozen=True)
class Network:
    """A network with random weights, and the part of it that pictures go through.

    Attributes:
        trunk: from pixels `(B, 3, S, S)` to a map `(B, D, h, w)` or to vectors `(B, D)`.
        model: the whole, whose names a file of weights uses; None: the trunk itself.
        stem: so many first parts of the trunk, an `nn.Sequential`, are the first layer; 0: there is none to show.
        head: so many last parts follow the last block.
        has_map: whether the trunk ends in a map, or `to_map` makes one.
        to_map: from what the trunk gives to a map `(B, D, h, w)`, where it gives something else.
        to_vector: from what the trunk gives to `(B, D)`; by default the mean over the map.
    """

    trunk: nn.Module
    model: nn.Module | None = None
    stem: int = 0
    head: int = 0
    has_map: bool = True
    to_map: Callable[[Tensor], Tensor] | None = None
    to_vector: Callable[[Tensor], Tensor] | None = None


class Backbone(ABC):
    """The contract; a class is built by `(config)`, the settings of the section `encoder`."""

    def __init__(self, config: EncoderConfig) -> None:
        self.config = config

    @abstractmethod
    def build(self) -> Network:
        """The network with random weights; torch's generator is seeded, so they are the same on every start."""

    def published(self) -> EncoderWeights | None:
        """The weights that go by the name `config.weights`, fetched where need be; None where none are called so."""
        return None

    def published_names(self) -> Sequence[str]:
        """The names that `published` knows, for messages."""
        return ()

    def default_transform(self) -> ImageTransform:
        """What pictures need for random weights, and for a file of unknown origin."""
        return ImageTransform()

    def renamed(self, state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        """The tensors of a file of weights under the names that the model gives them."""
        return state

    def load(self, network: Network, weights: EncoderWeights) -> None:
        """Puts the weights of a file into a network that was just built.

        Raises:
            WeightsError: the file is no state dict, or not this network's.
        """
        weights.load_into(network.trunk if network.model is None else network.model, self.renamed)

    def build_seeded(self) -> Network:
        """`build`, in which the generator is seeded."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.build()

    def code(self) -> str:
        """The hash of a plugin's file, which decides features too; empty for a shipped family."""
        return find("encoder", self.config.name).sha256


class Encoder(nn.Module):
    """Pictures in, features out: `(B, 3, S, S)` normalized pixels to `(B, D)`, or to regions `(B, R, D)`.

    `pooling` is one of

    - `average`: one vector, the last map's mean, or what the network calls its pooled answer (a class token, say);
    - `grid`: every place of the last map is a region; `grid:N`: averaged to N x N places;
    - `tokens`, `tokens:N`: the same, with the vector as one region more;
    - `cells`: the grid, with the extremes of the first layer in each place, which still knows colours;
    - `quarters`: four such regions: the mean of the last block there and the extremes of the first layer.
    """

    def __init__(
        self, trunk: nn.Module, pooling: str, transform: ImageTransform, network: Network | None = None
    ) -> None:
        super().__init__()
        network = network or Network(trunk)
        self.trunk = trunk
        self.stem, self.head = network.stem, network.head
        self.to_map = network.to_map or _as_it_is
        self.to_vector = network.to_vector or pool
        self.pooling = pooling
        self.transform = transform
        self.requires_grad_(False)
        self.eval()

    @property
    def parts(self) -> tuple["Encoder", ...]:
        """The encoders that it is made of: itself."""
        return (self,)

    def inputs(self, pixels: Tensor) -> list[Tensor]:
        """The pixels `(B, 3, S, S)` of each part."""
        return [pixels]

    def train(self, mode: bool = True) -> "Encoder":
        """Stays in evaluation mode: the statistics of a frozen network's BatchNorm must not drift."""
        return super().train(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """The features of normalized pixels."""
        if self.pooling in COLORED:
            assert isinstance(self.trunk, nn.Sequential)
            first = self.trunk[: self.stem](pixels)
            last = self.trunk[self.stem : len(self.trunk) - self.head](first)
            rows, columns = (2, 2) if self.pooling == "quarters" else last.shape[2:]
            return colored_regions(first, last, (rows, columns))
        last = self.trunk(pixels)
        kind, _, side = self.pooling.partition(":")
        if kind == "average":
            return self.to_vector(last)
        found = regions(self.to_map(last), int(side or 0))
        return torch.cat([self.to_vector(last).unsqueeze(1), found], dim=1) if kind == "tokens" else found

    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`, found by asking for one black picture."""
        size = self.transform.size
        weight = next(self.parameters())
        with torch.inference_mode():
            black = torch.zeros(1, 3, size, size, device=weight.device, dtype=weight.dtype)
            return tuple(self(black).shape[1:])


def pool(last: Tensor) -> Tensor:
    """The mean over a map `(B, D, h, w)`; vectors `(B, D)` as they are."""
    return last if last.ndim == 2 else last.mean(dim=(2, 3))


def regions(last: Tensor, side: int = 0) -> Tensor:
    """The places of a map `(B, D, h, w)`, row by row, as `(B, R, D)`; averaged to `side` x `side` of them first.

    Raises:
        ConfigError: the map is coarser than that.
    """
    if side > min(last.shape[2:]):
        height, width = last.shape[2:]
        raise ConfigError(
            f"encoder.pooling=grid:{side} is finer than the encoder's map of {height} x {width}; use a smaller number, "
            "or a larger encoder.image_size"
        )
    if side:
        last = nn.functional.adaptive_avg_pool2d(last, side)
    return last.flatten(2).transpose(1, 2).contiguous()


def _as_it_is(last: Tensor) -> Tensor:
    return last


def colored_regions(first: Tensor, last: Tensor, grid: tuple[int, int]) -> Tensor:
    """Regions `(B, R, C_last + 2 C_first)` row by row: the last map's mean, the first's maximum and minimum in each."""
    parts = [
        nn.functional.adaptive_avg_pool2d(last, grid),
        nn.functional.adaptive_max_pool2d(first, grid),
        -nn.functional.adaptive_max_pool2d(-first, grid),
    ]
    return torch.cat(parts, dim=1).flatten(2).transpose(1, 2).contiguous()


def find_backbone(config: EncoderConfig) -> Backbone:
    """The family that a name belongs to.

    Raises:
        ConfigError: no such encoder.
    """
    backbone: Backbone = find("encoder", config.name).load()(config)
    return backbone


def find_weights(config: EncoderConfig) -> EncoderWeights:
    """Finds the weights that `config.weights` asks for, with the transform at `config.image_size` where that is set.

    Raises:
        ConfigError: no such encoder.
        WeightsError: no such weights for it, the file is missing, or there is no network and nothing in the cache.
    """
    if composite := find_composite(config):
        return composite.weights()
    backbone = find_backbone(config)
    weights = _random_weights(backbone) if config.weights == "none" else backbone.published()
    if weights is None:
        path = Path(config.weights)
        if not path.is_file():
            choices = " ".join(f"encoder.weights={name}" for name in (*backbone.published_names(), "none"))
            raise WeightsError(
                f"encoder.weights={config.weights}: no file of that name, and no published weights of {config.name} "
                f"are called so; use one of {choices}, or give a file"
            )
        weights = EncoderWeights.of_file(path, backbone.default_transform(), public=False)
    transform = weights.transform
    fit = transform.fit if config.fit == "auto" else config.fit
    return replace(weights, transform=replace(transform, size=config.image_size or transform.size, fit=fit))


def build_encoder(config: EncoderConfig, weights: EncoderWeights | None = None) -> Encoder:
    """The encoder that the configuration names, with its weights, or with those that `find_weights` found before.

    Raises:
        ConfigError: no such network, or a pooling that it cannot give.
        WeightsError: the weights cannot be had, or do not fit; the line tells where to put the file.
    """
    weights = weights or find_weights(config)
    if composite := find_composite(config):
        built: Encoder = composite.encoder(weights)
        return built
    backbone = find_backbone(config)
    network = backbone.build_seeded()
    _check_pooling(config, network)
    if weights.path is None:
        _calibrate(network.trunk, weights.transform.size)
    encoder = Encoder(network.trunk, config.pooling, weights.transform, network)
    if weights.travelled:
        weights.load_into(encoder)
    elif weights.path is not None:
        backbone.load(network, weights)
    return encoder


def _random_weights(backbone: Backbone) -> EncoderWeights:
    """Shipped networks are known by name; those of a plugin, whose code may change, by what they start from."""
    name = backbone.config.name
    digest = hashlib.sha256(f"random {name} seed 0 torch {torch.__version__}".encode())
    if backbone.code():
        for key, value in backbone.build_seeded().trunk.state_dict().items():
            digest.update(f"{key} {tuple(value.shape)}".encode() + value.double().numpy().tobytes())
    return EncoderWeights(None, digest.hexdigest(), backbone.default_transform(), public=False)


def _check_pooling(config: EncoderConfig, network: Network) -> None:
    if config.pooling in COLORED and not (network.stem and isinstance(network.trunk, nn.Sequential)):
        raise ConfigError(
            f"encoder.pooling={config.pooling} needs a first layer, which {config.name} does not show; "
            "use a resnet or average"
        )
    if (config.gives_regions or config.pooling == "cells") and not network.has_map:
        raise ConfigError(
            f"encoder.pooling={config.pooling} needs a grid of regions, which {config.name} does not give; "
            "use encoder.pooling=average, or a convolutional network such as resnet50"
        )


def _calibrate(trunk: nn.Module, size: int) -> None:
    """Sets BatchNorm's statistics of random weights from noise; without, a deep network's features exceed float16."""
    norms = [module for module in trunk.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over what is seen, not a moving one
        norm.train()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # stochastic depth draws
        trunk(torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0)))
