"""The frozen CNN: a torchvision classifier, or EfficientNet-Lite0 whose ImageNet weights install as a package.

An encoder is always in `eval()` mode and has no gradient, so a picture has the same features every time; that is
what makes the feature store possible. `finetuning.py` trains its last blocks where a run asks for that.
Shape legend: B batch, R regions, D feature.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from showtell.config import ConfigError, EncoderConfig, ImageTransform
from showtell.distributed import rank_zero_first
from showtell.models.weights import EncoderWeights, find_weights


class Encoder(nn.Module):
    """Pictures in, features out: `(B, 3, S, S)` normalized pixels to `(B, D)`, or to regions `(B, R, D)`.

    `pooling` is `average` (one vector), `grid` (every place of the last map is a region), or `quarters`: four
    regions, each with the mean of the last block and the extremes of the first layer, which still knows colours.
    """

    def __init__(self, trunk: nn.Module, pooling: str, transform: ImageTransform, stem: int = 0, head: int = 0) -> None:
        super().__init__()
        self.trunk = trunk
        self.stem = stem
        self.head = head
        self.pooling = pooling
        self.transform = transform
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Encoder":
        """Stays in evaluation mode: the statistics of a frozen network's BatchNorm must not drift."""
        return super().train(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """The features of normalized pixels."""
        if self.pooling == "quarters":
            assert isinstance(self.trunk, nn.Sequential)
            first = self.trunk[: self.stem](pixels)
            return quarters(first, self.trunk[self.stem : len(self.trunk) - self.head](first))
        return pool(self.trunk(pixels), self.pooling)

    def feature_shape(self) -> tuple[int, ...]:
        """`(D,)` or `(R, D)`, found by asking for one black picture."""
        size = self.transform.size
        weight = next(self.parameters())
        with torch.inference_mode():
            black = torch.zeros(1, 3, size, size, device=weight.device, dtype=weight.dtype)
            return tuple(self(black).shape[1:])


class LazyEncoder:
    """A run's frozen encoder, whose weights are found and whose network is built when they are first asked for.

    Being no `nn.Module`, it stays out of the parameters, the optimizer and the state dict of whoever holds it.

    Args:
        config: which one.
        weights: what it starts from, where they are known already; else `find_weights` finds them.
    """

    def __init__(self, config: EncoderConfig, weights: EncoderWeights | None = None) -> None:
        self.config = config
        if weights is not None:
            self.weights = weights

    @cached_property
    def weights(self) -> EncoderWeights:
        """Where the weights come from, their hash, and the transform that goes with them."""
        with rank_zero_first():  # may download
            return find_weights(self.config)

    @cached_property
    def network(self) -> Encoder:
        """The encoder itself."""
        return build_encoder(self.config, self.weights)

    def fingerprint_at(self, precision: str) -> str:
        """Tells its features from those of other weights, poolings and precisions."""
        return encoder_fingerprint(self.config, self.weights, precision)


def pool(last: Tensor, pooling: str) -> Tensor:
    """Reduces a trunk's last map, `(B, D, h, w)` or already `(B, D)`, to what the decoder reads."""
    if last.ndim == 2:
        return last
    if pooling == "grid":
        return last.flatten(2).transpose(1, 2).contiguous()
    return last.mean(dim=(2, 3))


def quarters(first: Tensor, last: Tensor) -> Tensor:
    """Four regions `(B, 4, C_last + 2 C_first)`, row by row: the last map's mean, the first's maximum and minimum."""
    parts = [
        nn.functional.adaptive_avg_pool2d(last, 2),
        nn.functional.adaptive_max_pool2d(first, 2),
        -nn.functional.adaptive_max_pool2d(-first, 2),
    ]
    return torch.cat(parts, dim=1).flatten(2).transpose(1, 2).contiguous()


def build_encoder(config: EncoderConfig, weights: EncoderWeights | None = None, *, calibrate: bool = True) -> Encoder:
    """Builds the encoder that the configuration names, with its weights loaded.

    Args:
        config: which network, which weights, which pooling.
        weights: what `find_weights` found, where the caller asked already.
        calibrate: give random weights usable statistics; False where other weights are loaded next.

    Raises:
        ConfigError: no such network, weights that do not fit it, or a pooling that it cannot give.
        WeightsError: the weights cannot be had; the line tells where to put the file.
    """
    weights = weights or find_weights(config)
    network = _NETWORKS.get(config.name, _build_torchvision)(config)
    if weights.path is None and calibrate:
        _calibrate(network.trunk, weights.transform.size)
    encoder = Encoder(network.trunk, config.pooling, weights.transform, network.stem, network.head)
    if weights.path is not None:
        weights.load_into(encoder if weights.travelled else network.model)
    return encoder


def encoder_fingerprint(config: EncoderConfig, weights: EncoderWeights, precision: str) -> str:
    """A hash of everything that decides a feature's value, without building the network."""
    facts = {
        "name": config.name,
        "pooling": config.pooling,
        "weights": weights.sha256,
        "transform": asdict(weights.transform),
        "precision": precision,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Network:
    """A classifier and its trunk, whose first `stem` parts are the first layer and last `head` follow the blocks."""

    model: nn.Module
    trunk: nn.Module
    stem: int = 0
    head: int = 0


def _seeded(build: Any, *args: Any, **kwargs: Any) -> Any:
    """Random weights are the same on every start, so that their features can be stored too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(*args, **kwargs)


def _calibrate(trunk: nn.Module, size: int) -> None:
    """Sets BatchNorm's statistics of random weights from noise; without, a deep network's features exceed float16."""
    norms = [module for module in trunk.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over what is seen, not a moving one
        norm.train()
    with torch.no_grad():
        trunk(torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0)))


def _build_efficientnet_lite0(config: EncoderConfig) -> _Network:
    import timm

    model = _seeded(timm.create_model, "tf_efficientnet_lite0", pretrained=False)
    trunk = nn.Sequential(model.conv_stem, model.bn1, model.blocks, model.conv_head, model.bn2)
    return _Network(model, trunk, stem=2, head=2)


def _build_torchvision(config: EncoderConfig) -> _Network:
    from torchvision import models

    extra = {"init_weights": True, "aux_logits": True} if config.name in ("googlenet", "inception_v3") else {}
    model = _seeded(models.get_model, config.name, weights=None, **extra)
    trunk = _convolutional_trunk(model)
    stem = 3 if hasattr(model, "layer4") else int(trunk is not None and trunk is getattr(model, "features", None))
    if config.pooling == "quarters" and not (stem and isinstance(trunk, nn.Sequential)):
        raise ConfigError(
            f"encoder.pooling=quarters needs a first layer, which {config.name} does not show; use a resnet or average"
        )
    if trunk is None:
        if config.pooling != "average":
            raise ConfigError(
                f"encoder.pooling={config.pooling} needs a grid of regions, which {config.name} does not give; "
                "use encoder.pooling=average, or a convolutional network such as resnet50"
            )
        trunk = _without_classifier(model)
    return _Network(model, trunk, stem)


def _convolutional_trunk(model: nn.Module) -> nn.Module | None:
    """The part of a torchvision classifier that ends in a `(B, D, h, w)` map; None where there is no such part."""
    if hasattr(model, "layer4"):
        names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
        return nn.Sequential(*(getattr(model, name) for name in names))
    if hasattr(model, "trunk_output"):
        return nn.Sequential(model.get_submodule("stem"), model.get_submodule("trunk_output"))
    features = getattr(model, "features", None)
    if features is None or hasattr(model, "permute"):  # Swin's features end in another layout
        return None
    if type(model).__name__ == "DenseNet":
        return nn.Sequential(features, nn.ReLU())
    return features if isinstance(features, nn.Module) else None


def _without_classifier(model: nn.Module) -> nn.Module:
    """The network up to the input of its last linear layer."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    parent, _, child = linear[-1].rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Identity())
    return model


_NETWORKS = {"efficientnet_lite0": _build_efficientnet_lite0}
