"""What `auto` means: the precision in which this machine computes fastest, of encoders, of training and of decoding.

It is a function of the hardware, by a table that was measured once (`docs/decisions/encoder_speed.md`,
`docs/decisions/decoder_speed.md`), and never of a measurement at the start: an encoder's precision is part of a store's
key, and a decoder's of what a run is.
"""

from dataclasses import replace
from pathlib import Path

import torch

from showtell.config import Config
from showtell.distributed import broadcast

MIXED = "bf16-mixed"
CPU_INFORMATION = Path("/proc/cpuinfo")


def encoding_precision(setting: str, device: torch.device) -> str:
    """What `features.precision` means on a device: bfloat16 or float32."""
    if setting != "auto":
        return setting
    return "bfloat16" if bfloat16_pays(device) else "float32"


def decoding_precision(asked: str, trained: str, device: torch.device) -> str:
    """The precision in which a decoder predicts: `auto` is that of its training where the device computes it fast.

    Args:
        asked: auto, float32 or bfloat16.
        trained: the run's `device.precision`.
        device: which predicts.
    """
    if asked != "auto":
        return asked
    return "bfloat16" if trained == MIXED and bfloat16_pays(device) else "float32"


def with_precision(config: Config, device: torch.device) -> Config:
    """A run's configuration with the answer to `device.precision=auto`; rank 0's device answers for all ranks."""
    if config.device.precision != "auto":
        return config
    answer = broadcast(MIXED if bfloat16_pays(device) else "32-true")
    return replace(config, device=replace(config.device, precision=answer))


def bfloat16_pays(device: torch.device) -> bool:
    """Whether a device computes matrix products in bfloat16 faster than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and processor(device).endswith(("amx", "AMD avx512_bf16"))


def processor(device: torch.device) -> str:
    """The kind of processor, as far as it decides the bits of a result: `AMD avx512_bf16`, or the name of the GPU."""
    if device.type != "cpu":
        return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    told = CPU_INFORMATION.read_text() if CPU_INFORMATION.is_file() else ""
    vendor = next((name for name in ("AMD", "Intel") if name in told), "other")
    if torch.cpu._is_amx_tile_supported():
        return f"{vendor} amx"
    if torch.cpu._is_avx512_bf16_supported():
        return f"{vendor} avx512_bf16"
    return f"{vendor} {torch.backends.cpu.get_cpu_capability().lower()}"
