"""Two frozen encoders as one: what both say about a picture, side by side.

Vectors `(D1,)` and `(D2,)` become `(D1 + D2,)`, and regions, which must be as many, `(R, D1 + D2)`. Each encoder sees
the picture as its own weights want it, and has a feature store of its own, which runs with that encoder alone share.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from showtell.config import ConfigError, EncoderConfig, ImageTransform
from showtell.models.encoders.base import Encoder, build_encoder, find_backbone, find_weights
from showtell.models.encoders.composite import Composite
from showtell.models.encoders.weights import EncoderWeights, WeightsError
from showtell.models.settings import PairConfig


class PairEncoder(Encoder):
    """Pixels of both encoders `(B, 3, N, 1)`, as `ImageTransform.beside` tells, to features side by side."""

    def __init__(self, first: Encoder, second: Encoder) -> None:
        nn.Module.__init__(self)
        self.first, self.second = first, second
        self.pooling = first.pooling
        self.transform = replace(first.transform, beside=second.transform)
        self.eval()

    @property
    def parts(self) -> tuple[Encoder, ...]:
        """Both."""
        return self.first, self.second

    def forward(self, pixels: Tensor) -> Tensor:
        """The features of normalized pixels."""
        return torch.cat([part(own) for part, own in zip(self.parts, self.inputs(pixels), strict=True)], dim=-1)

    def inputs(self, pixels: Tensor) -> list[Tensor]:
        """The pixels `(B, 3, S, S)` of each encoder."""
        sides = [one.size for one in self.transform.parts]
        packed = torch.split(pixels, [side**2 for side in sides], dim=2)
        return [own.reshape(len(own), 3, side, side) for own, side in zip(packed, sides, strict=True)]

    def feature_shape(self) -> tuple[int, ...]:
        """`(D1 + D2,)` or `(R, D1 + D2)`."""
        return shape_side_by_side([part.feature_shape() for part in self.parts])


class Pair(Composite):
    """Finds and builds the two encoders of a pair."""

    config: PairConfig

    def weights(self) -> EncoderWeights:
        """Known by the hashes of both; what cannot be had again by name is kept for both."""
        first, second = self._found()
        digest = hashlib.sha256(f"{first.sha256} {second.sha256}".encode())
        transform = replace(first.transform, beside=second.transform)
        return EncoderWeights(None, digest.hexdigest(), transform, public=first.public and second.public)

    def encoder(self, weights: EncoderWeights) -> Encoder:
        """Both with their own weights, or with those that travelled with a checkpoint."""
        configs = self.config.parts
        if weights.travelled:  # whatever they start from
            configs = [replace(one, weights="none") for one in configs]
            found = [EncoderWeights(None, "", one, public=False) for one in weights.transform.parts]
        else:
            found = [
                replace(own, transform=one) for own, one in zip(self._found(), weights.transform.parts, strict=True)
            ]
        built = []
        for key, config, own in zip(PairConfig.KEYS, configs, found, strict=True):
            with _called(key):
                built.append(build_encoder(config, own))
        pair = PairEncoder(*built)
        if weights.travelled:
            weights.load_into(pair)
        return pair

    def code(self) -> str:
        """Of both, where they are plugins'."""
        return " ".join(filter(None, (find_backbone(one).code() for one in self.config.parts)))

    def _found(self) -> list[EncoderWeights]:
        found = []
        for key, config in zip(PairConfig.KEYS, self.config.parts, strict=True):
            with _called(key):
                found.append(find_weights(config))
        return found


def parts_of(config: EncoderConfig) -> Sequence[EncoderConfig]:
    """The settings of each encoder of a pair; another encoder's own."""
    return config.parts if isinstance(config, PairConfig) else [config]


def in_words(config: EncoderConfig) -> str:
    """Names and weights: `efficientnet_lite0 (imagenet)`."""
    tuned = f", the last {count} blocks trained" if (count := config.finetune_blocks) else ""
    return " + ".join(f"{one.name} ({one.weights}{tuned})" for one in parts_of(config))


def pixels_in_words(transform: ImageTransform) -> str:
    """`224 x 224`, and for a pair the second one's."""
    return " and ".join(f"{one.size} x {one.size}" for one in transform.parts)


def shape_side_by_side(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape of features of several encoders side by side; of one, its own.

    Raises:
        ConfigError: they have not the same number of regions.
    """
    if len({shape[:-1] for shape in shapes}) > 1:
        told = " and ".join(f"{shape[0]} regions" if len(shape) == 2 else "a vector" for shape in shapes)
        raise ConfigError(
            f"encoder=pair: {told} do not lie side by side; "
            "bring both to one grid by encoder.pooling=grid:7 (or multi:7)"
        )
    return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


@contextmanager
def _called(key: str) -> Iterator[None]:
    """What an encoder says of its settings, under the names that they have in a pair."""
    try:
        yield
    except (ConfigError, WeightsError) as error:
        said = str(error)
        theirs = {"encoder.name": key, "encoder.weights": f"{key}_weights", "encoder=timm": f"{key}=timm/NAME"}
        for own, name in theirs.items():
            said = said.replace(own, f"encoder.{name}")
        raise type(error)(said) from None
