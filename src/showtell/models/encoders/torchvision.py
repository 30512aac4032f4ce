"""The classifiers of torchvision, by their names; published weights are downloaded once into torch's cache.

Most are a chain of layers up to a last map. The others (vision transformers, Swin, MaxViT, and a few that are written
out layer by layer) are asked for the vector before their last layer, and their maps are watched on the way.
"""

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.models.vision_transformer import interpolate_embeddings

from showtell.config import ConfigError, EncoderConfig, ImageTransform, names
from showtell.config.reference import close
from showtell.config.registry import broken
from showtell.models.encoders.base import Network
from showtell.models.encoders.library import LibraryBackbone
from showtell.models.encoders.maps import tokens_as_map
from showtell.models.encoders.weights import EncoderWeights, download

_WATCHED = {
    "VisionTransformer": ("encoder.layers.{}", "encoder"),
    "SwinTransformer": ("features.5", "norm"),
    "MaxVit": ("blocks.2", "blocks.3"),
    "GoogLeNet": ("inception4e", "inception5b"),
    "Inception3": ("Mixed_6e", "Mixed_7c"),
    "ShuffleNetV2": ("stage3", "conv5"),
    "MNASNet": ("layers.11", "layers"),
}
"""Of networks that are no chain: the layers that give an earlier map and the last one."""
_CHANNELS_LAST = ("SwinTransformer",)


class WatchedLayers:
    """Asks a network for its vector, and keeps what two of its layers gave on the way."""

    def __init__(self, trunk: nn.Module) -> None:
        self.trunk = trunk
        self.kind = type(trunk).__name__
        earlier, last = _WATCHED[self.kind]
        if isinstance(trunk, models.VisionTransformer):
            blocks = [name for name, _ in trunk.encoder.layers.named_children()]
            earlier = earlier.format(blocks[2 * len(blocks) // 3 - 1])
        self.layers = (earlier, last)

    def ask(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The vector `(B, D)`, and an earlier map and the last as the network lays them out."""
        seen: list[Tensor] = []
        watched = [self.trunk.get_submodule(name) for name in self.layers]
        hooks = [layer.register_forward_hook(lambda *call: seen.append(call[-1])) for layer in watched]
        try:
            return self.trunk(pixels), seen
        finally:
            for hook in hooks:
                hook.remove()

    def to_vector(self, found: tuple[Tensor, list[Tensor]]) -> Tensor:
        """What the network answers with."""
        return found[0]

    def to_map(self, found: tuple[Tensor, list[Tensor]]) -> Tensor:
        """The last map."""
        return self._map(found[1][1])

    def two_maps(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """An earlier map and the last; of a transformer's tokens both are normalized."""
        _, (earlier, last) = self.ask(pixels)
        if isinstance(self.trunk, models.VisionTransformer):
            earlier = self.trunk.encoder.ln(earlier)
        return self._map(earlier), self._map(last)

    def _map(self, found: Tensor) -> Tensor:
        if isinstance(self.trunk, models.VisionTransformer):
            side = self.trunk.image_size // self.trunk.patch_size
            return tokens_as_map(found, (side, side))
        return found.permute(0, 3, 1, 2) if self.kind in _CHANNELS_LAST else found


class TorchvisionBackbone(LibraryBackbone):
    """Any classifier that torchvision has.

    Raises:
        ConfigError: it has none of this name.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        if config.name not in models.list_models(module=models):
            like = close(config.name, [*names("encoder"), *models.list_models(module=models)])
            hint = f"did you mean {like}?" if like else "docs/encoders.md lists some"
            raise ConfigError(
                f"encoder.name={config.name} is no torchvision classifier; {hint}; timm's networks are encoder=timm"
                f"{broken()}"
            )

    def build(self) -> Network:
        """The classifier up to its last map, or else to the input of its last linear layer."""
        name, size = self.config.name, self.config.image_size
        extra: dict[str, Any] = {}
        if name in ("googlenet", "inception_v3"):
            extra = {"init_weights": True, "aux_logits": True}
        if size and name.startswith("vit_"):
            extra = {"image_size": size}
        if size and name.startswith("maxvit"):
            extra = {"input_size": (size, size)}
        try:
            model = models.get_model(name, weights=None, **extra)
        except Exception as error:  # whatever a library's network raises is a matter of that network
            raise self.refused(error) from error
        trunk = _convolutional_trunk(model)
        if trunk is None:
            watched = WatchedLayers(_without_classifier(model))
            patch = model.features[0][0].kernel_size[0] if watched.kind == "SwinTransformer" else 0
            return Network(
                watched.trunk, model, patch=patch, ask=watched.ask, to_map=watched.to_map, to_vector=watched.to_vector,
                two_maps=watched.two_maps,
            )  # fmt: skip
        stem = 3 if hasattr(model, "layer4") else int(trunk is getattr(model, "features", None))
        return Network(trunk, model, stem)

    def published(self) -> EncoderWeights | None:
        """By torchvision's name for them; `imagenet` and `DEFAULT` are the best."""
        weights = self.config.weights
        named = self._named("DEFAULT" if weights == "imagenet" else weights)
        if named is None:
            return None
        path = download(named.url, f"encoder={self.config.name} encoder.weights={weights}")
        return EncoderWeights.of_file(path, _transform(named), public=True)

    def licence(self) -> str:
        """Torchvision's own words are that a model may have a licence of its own, from its data."""
        if self.config.weights not in self.published_names():
            return super().licence()
        return "torchvision's (BSD-3-Clause; ImageNet, on which they were trained, is for research)"

    def published_names(self) -> list[str]:
        """`imagenet`, and torchvision's."""
        return ["imagenet", *(one.name for one in models.get_model_weights(self.config.name))]

    def default_transform(self) -> ImageTransform:
        """Of the best published weights."""
        best = self._named("DEFAULT")
        return ImageTransform() if best is None else _transform(best)

    def own_size(self) -> int:
        """Of the best published weights."""
        best = self._named("DEFAULT")
        return ImageTransform().size if best is None else _transform(best).size

    def renamed(self, state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        """Without the last layer where the network lost it; a transformer's positions fitted to the pictures' size."""
        lost = tuple(f"{name}." for name, part in model.named_modules() if type(part) is nn.Identity)
        state = {name: value for name, value in state.items() if not name.startswith(lost)}
        if isinstance(model, models.VisionTransformer) and "encoder.pos_embedding" in state:
            return dict(interpolate_embeddings(model.image_size, model.patch_size, OrderedDict(state)))
        return state

    def _named(self, name: str) -> Any | None:
        known = models.get_model_weights(self.config.name)
        return known[name] if name in known.__members__ else None


def _transform(weights: Any) -> ImageTransform:
    preset = weights.transforms()
    size, interpolation = preset.crop_size[0], preset.interpolation.value
    mean, std, crop = tuple(preset.mean), tuple(preset.std), size / preset.resize_size[0]
    return ImageTransform(size=size, interpolation=interpolation, mean=mean, std=std, crop=crop)


def _convolutional_trunk(model: nn.Module) -> nn.Module | None:
    """The part of a torchvision classifier that ends in a `(B, D, h, w)` map; None where there is no such part."""
    if hasattr(model, "layer4"):
        names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
        return nn.Sequential(*(getattr(model, name) for name in names))
    if hasattr(model, "trunk_output"):
        return nn.Sequential(model.get_submodule("stem"), model.get_submodule("trunk_output"))
    features = getattr(model, "features", None)
    if features is None or type(model).__name__ in _WATCHED:
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
