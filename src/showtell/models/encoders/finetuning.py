"""The encoder's last blocks as a part of what is trained, with a learning rate of their own.

Xu et al. 2015 (arXiv 1502.03044, section 4.3) left the encoder as ImageNet made it and named fine-tuning as what more
data would allow; Vinyals et al. 2016 (arXiv 1609.06647) did it, after the decoder had settled: trained together from
the start, the noise of an untrained decoder's gradients spoils the encoder for good. Hence a second stage, with a rate
a tenth or a hundredth of the decoder's, in which one schedule scales both rates.

What a block is, follows the network's own division: a stage of a ResNet, EfficientNet or ConvNeXt, a convolution of a
VGG; a normalization belongs to the block before it. No `no_grad` is needed for the rest: neither pixels nor frozen
weights ask for a gradient, so autograd records nothing before the first fine-tuned block.

BatchNorm's scale and shift are trained, its statistics are not: a batch here holds captions of one length, and with
them the same picture several times, so its statistics are not those of the pictures that validation and prediction see,
a step would depend on which captions happen to share it, and the convolutions could no longer be folded with the norm.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from showtell.config import ConfigError
from showtell.models.encoders.base import COLORED, Encoder

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm)


class FinetunedBlocks(nn.ModuleDict):
    """Blocks of an encoder by their place in its trunk (`2.6` is spelled `2-6`); the encoder's own, not copies."""

    def train(self, mode: bool = True) -> "FinetunedBlocks":
        """Stays in evaluation mode, as the whole encoder does."""
        return super().train(False)

    def features(self, encoder: Encoder, pixels: Tensor) -> Tensor:
        """What the encoder would say with these blocks' weights in the place of its own."""
        weights: dict[str, Tensor] = {}
        for name, value in self.named_parameters():
            key, _, inner = name.partition(".")
            weights[f"trunk.{key.replace('-', '.')}.{inner}"] = value
        features: Tensor = torch.func.functional_call(encoder, weights, (pixels,))
        return features


def finetuned_blocks(encoder: Encoder, count: int) -> FinetunedBlocks:
    """The last blocks, of those that the encoder's pooling reads. Whether they are trained is the caller's choice.

    Raises:
        ConfigError: the encoder has fewer, or is no chain of blocks.
    """
    if not isinstance(encoder.trunk, nn.Sequential):
        raise ConfigError(
            f"encoder.finetune_blocks={count}: {_kind(encoder.trunk)} is no chain of blocks; "
            "use encoder.finetune_blocks=0, or a network such as resnet50, efficientnet_lite0 or convnext_tiny"
        )
    blocks = _blocks(encoder)
    if count > len(blocks):
        raise ConfigError(f"encoder.finetune_blocks={count}: this encoder has {len(blocks)} blocks; choose no more")
    return FinetunedBlocks({path.replace(".", "-"): part for block in blocks[-count:] for path, part in block.items()})


def _kind(trunk: nn.Module) -> str:
    inner = getattr(trunk, "model", None)  # a network of timm
    return f"timm's {type(inner).__name__}" if isinstance(inner, nn.Module) else type(trunk).__name__


def parameter_groups(
    parts: Sequence[nn.Module], finetuned: FinetunedBlocks | None, encoder_rate: float
) -> list[dict[str, object]]:
    """What the optimizer trains: the parts at the rate it is given, and the fine-tuned blocks at theirs."""
    groups: list[dict[str, object]] = [{"params": [weight for part in parts for weight in part.parameters()]}]
    if finetuned is not None and encoder_rate > 0:
        groups.append({"params": list(finetuned.parameters()), "lr": encoder_rate})
    return groups


def _blocks(encoder: Encoder) -> list[dict[str, nn.Module]]:
    """The parts of the trunk that have weights, first to last, each block with the normalization that follows it."""
    assert isinstance(encoder.trunk, nn.Sequential)
    used = len(encoder.trunk) - encoder.head if encoder.pooling in COLORED else len(encoder.trunk)
    blocks: list[dict[str, nn.Module]] = []
    for path, part in _parts(encoder.trunk[:used]):
        if isinstance(part, _NORMS) and blocks:
            blocks[-1][path] = part
        else:
            blocks.append({path: part})
    return blocks


def _parts(network: nn.Module, path: str = "") -> list[tuple[str, nn.Module]]:
    """The weighted children by name; in the place of one that only holds other stages, these."""
    parts = [(path + name, child) for name, child in network.named_children() if _has_weights(child)]
    only = len(parts) == 1
    opened = [_parts(part, f"{name}.") if only or _holds_stages(part) else [] for name, part in parts]
    return [found for inner, whole in zip(opened, parts, strict=True) for found in inner or [whole]]


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _holds_stages(part: nn.Module) -> bool:
    """Whether it is a chain of chains."""
    inner = [child for child in part.children() if _has_weights(child)]
    return isinstance(part, nn.Sequential) and bool(inner) and all(isinstance(child, nn.Sequential) for child in inner)
