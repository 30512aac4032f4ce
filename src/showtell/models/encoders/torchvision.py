"""The classifiers of torchvision, by their names; published weights are downloaded once into torch's cache."""

from typing import Any

from torch import nn
from torchvision import models

from showtell.config import ConfigError, EncoderConfig, ImageTransform, names
from showtell.config.reference import close
from showtell.config.registry import broken
from showtell.models.encoders.base import Backbone, Network
from showtell.models.encoders.weights import EncoderWeights, download


class TorchvisionBackbone(Backbone):
    """Any classifier that torchvision has.

    Raises:
        ConfigError: it has none of this name.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        if config.name not in models.list_models(module=models):
            like = close(config.name, [*names("encoder"), *models.list_models(module=models)])
            hint = f"did you mean {like}" if like else "docs/encoders.md lists some"
            raise ConfigError(
                f"encoder.name={config.name} is no torchvision classifier; {hint}; timm's networks are encoder=timm"
                f"{broken()}"
            )

    def build(self) -> Network:
        """The classifier up to its last map, or else to the input of its last linear layer."""
        name = self.config.name
        extra: dict[str, Any] = {}
        if name in ("googlenet", "inception_v3"):
            extra = {"init_weights": True, "aux_logits": True}
        model = models.get_model(name, weights=None, **extra)
        trunk = _convolutional_trunk(model)
        if trunk is None:
            return Network(_without_classifier(model), model, has_map=False)
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

    def published_names(self) -> list[str]:
        """`imagenet`, and torchvision's."""
        return ["imagenet", *(one.name for one in models.get_model_weights(self.config.name))]

    def default_transform(self) -> ImageTransform:
        """Of the best published weights."""
        best = self._named("DEFAULT")
        return ImageTransform() if best is None else _transform(best)

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
