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
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from showtell.config import ConfigError, EncoderConfig, ImageTransform, find
from showtell.models.encoders.composite import find_composite
from showtell.models.encoders.maps import (
    as_it_is,
    colored_regions,
    pool,
    regions,
    side_by_side,
    two_scales,
    with_vector,
)
from showtell.models.encoders.weights import DrawNothing, EncoderWeights, WeightsError

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
        ask: from pixels to what `to_map` and `to_vector` read; by default what the trunk gives.
        to_map: from that to a map `(B, D, h, w)`, where it is something else.
        to_vector: from that to `(B, D)`; by default the mean over the map.
        patch: side of the patches that pictures are cut into, of which none is left over; 0: any size is seen whole.
        two_maps: from pixels to an earlier and the last map; by default those of two scales, of a chain of layers.
    """

    trunk: nn.Module
    model: nn.Module | None = None
    stem: int = 0
    head: int = 0
    has_map: bool = True
    patch: int = 0
    ask: Callable[[Tensor], Any] | None = None
    to_map: Callable[[Any], Tensor] = as_it_is
    to_vector: Callable[[Any], Tensor] = pool
    two_maps: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None

    def __post_init__(self) -> None:
        """A chain shows what it gave on the way."""
        if self.two_maps is None and self.has_map and isinstance(self.trunk, nn.Sequential):
            object.__setattr__(self, "two_maps", partial(two_scales, self.trunk))


class Backbone(ABC):
    """The contract; a class is built by `(config)`, the settings of the section `encoder`."""

    installs: ClassVar[bool] = False
    """Whether its published weights are a package that comes with Showtell."""

    def __init__(self, config: EncoderConfig) -> None:
        self.config = config

    @abstractmethod
    def build(self) -> Network:
        """The network with random weights; torch's generator is seeded, so they are the same on every start."""

    def published(self) -> EncoderWeights | None:
        """The weights that go by the name `config.weights`, fetched where need be; None where none are called so."""
        return None

    def licence(self) -> str:
        """Under which licence the weights that `config.weights` names may be passed on; empty where nobody knows."""
        return "random numbers, which are nobody's" if self.config.weights == "none" else ""

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

    def try_out(self, encoder: "Encoder") -> None:
        """Asks for the features of one picture, so that what cannot be is refused before weights are read."""
        encoder.feature_shape()

    def build_seeded(self, draw: bool = True) -> Network:
        """`build`, in which the generator is seeded, or draws nothing."""
        with torch.random.fork_rng(devices=[]), nullcontext() if draw else DrawNothing():
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
    - `multi`, `multi:N`: the grid of an earlier map, averaged to the last one's size, and of the last side by side;
    - `cells`: the grid, with the extremes of the first layer in each place, which still knows colours;
    - `quarters`: four such regions: the mean of the last block there and the extremes of the first layer.
    """

    def __init__(
        self, trunk: nn.Module, pooling: str, transform: ImageTransform, network: Network | None = None
    ) -> None:
        super().__init__()
        network = network or Network(trunk)
        self.trunk, self.pooling, self.transform = trunk, pooling, transform
        self.stem, self.head, self.ask, self.patch = network.stem, network.head, network.ask, network.patch
        self.to_map, self.to_vector, self.two_maps = network.to_map, network.to_vector, network.two_maps
        self._feature_shape: tuple[int, ...] | None = None
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
        kind, _, side = self.pooling.partition(":")
        if kind == "multi":
            assert self.two_maps is not None
            return regions(side_by_side(*self.two_maps(pixels)), int(side or 0), kind)
        answer = (self.ask or self.trunk)(pixels)
        if kind == "average":
            return self.to_vector(answer)
        found = regions(self.to_map(answer), int(side or 0), kind)
        return with_vector(self.to_vector(answer), found) if kind == "tokens" else found

    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`, found by asking for one black picture, once."""
        if self._feature_shape is None:
            size, weight = self.transform.size, next(self.parameters())
            with torch.inference_mode():
                black = weight.new_zeros(1, 3, size, size)
                self._feature_shape = tuple(self(black).shape[1:])
        return self._feature_shape


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
    network = backbone.build_seeded(draw=weights.path is None or bool(backbone.code()))  # a plugin may keep some
    _check_pooling(config, network)
    training = network.trunk.training
    encoder = Encoder(network.trunk, config.pooling, weights.transform, network)
    backbone.try_out(encoder)
    if weights.path is None and not weights.travelled:
        network.trunk.train(training)  # stored features of random weights depend on what is drawn here
        _calibrate(network.trunk, weights.transform.size)
        encoder.eval()
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
            "it gives one vector: use encoder.pooling=average with decoder=lstm, or a network such as resnet50"
        )
    if config.pooling.startswith("multi") and network.two_maps is None:
        raise ConfigError(
            f"encoder.pooling={config.pooling} needs an earlier map, which {config.name} does not show; "
            "use encoder.pooling=grid"
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
