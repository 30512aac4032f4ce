"""The frozen encoder at full speed, for building feature stores and for prediction.

Inference mode, channels-last, and each BatchNorm folded into the convolution before it (frozen, it is a scale and a
shift). bfloat16 only where a unit computes it faster than float32: GPUs, Intel's AMX, and AMD's AVX512, where ResNet50
gains a factor of 2. Intel's AVX512 without AMX knows bfloat16 too, but at float32's rate: 115 ms for a picture against
85 ms. What `auto` chooses is a function of the hardware and not of a measurement, because the precision is part of a
store's key. `torch.compile` is not used: on another machine it took 46 s to compile and then gave about twice eager
float32's speed, which would pay for data sets far larger than Flickr8k's; that is open.

Eight pictures at a time stay in a CPU's cache: 32 at a time cost 15% to 60% more per picture.
"""

import copy
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from showtell.models.encoder import Encoder

CPU_BATCH = 8


def encoding_precision(setting: str, device: torch.device) -> str:
    """Resolves `auto` to bfloat16 where the device computes faster in it, else float32."""
    if setting != "auto":
        return setting
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if _bfloat16_pays_on_cpu() else "float32"


def _bfloat16_pays_on_cpu() -> bool:
    if torch.cpu._is_amx_tile_supported():
        return True
    information = Path("/proc/cpuinfo")
    is_amd = information.is_file() and "AuthenticAMD" in information.read_text()
    return is_amd and torch.cpu._is_avx512_bf16_supported()


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Folds BatchNorms into the convolutions that come directly before them, in place.

    Recognized by order of registration, which in the networks of torchvision and timm is the order of use wherever a
    BatchNorm of as many channels follows a convolution. A BatchNorm that brings its activation (timm's) keeps it.
    """
    for parent in list(network.modules()):
        children = list(parent.named_children())
        for (name, convolution), (next_name, norm) in pairwise(children):
            if _can_be_folded(convolution, norm):
                setattr(parent, name, fuse_conv_bn_eval(cast(nn.Conv2d, convolution), cast(nn.BatchNorm2d, norm)))
                activation = getattr(norm, "act", None)
                setattr(parent, next_name, activation if activation is not None else nn.Identity())
    return network


def _can_be_folded(convolution: nn.Module, norm: nn.Module) -> bool:
    return (
        isinstance(convolution, nn.Conv2d)
        and isinstance(norm, nn.BatchNorm2d)
        and convolution.out_channels == norm.num_features
    )


class FastEncoder:
    """Calls an encoder on a device in a precision: `(B, 3, S, S)` pixels to float32 `(B, *feature_shape)`."""

    def __init__(self, encoder: Encoder, device: torch.device, precision: str) -> None:
        # a copy: the caller's encoder keeps its names, for files that travel with a run
        folded: Encoder = folded_copy(encoder).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.encoder = folded
        self.device = device
        self.precision = precision
        self.feature_shape = encoder.feature_shape()

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """The features of normalized pixels, on the encoder's device."""
        parts = torch.split(pixels, CPU_BATCH) if self.device.type == "cpu" else [pixels]
        return torch.cat([self._encode(part) for part in parts])

    def _encode(self, pixels: Tensor) -> Tensor:
        pixels = pixels.to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            features: Tensor = self.encoder(pixels)
        return features.float()


def folded_copy(encoder: Encoder) -> Encoder:
    """The encoder with its BatchNorms folded away, unless that changes what it says.

    Registration order is a convention and not a law, so one random picture is asked for with both.
    """
    folded = copy.deepcopy(encoder)
    fold_batch_norms(folded)
    size = encoder.transform.size
    generator = torch.Generator().manual_seed(0)
    weight = next(encoder.parameters())
    picture = torch.randn(1, 3, size, size, generator=generator).to(weight.device)
    with torch.inference_mode():
        expected, found = encoder(picture), folded(picture)
    return folded if (found - expected).abs().max() <= 1e-3 * expected.abs().max() else encoder
