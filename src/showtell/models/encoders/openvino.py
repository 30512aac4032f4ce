"""The frozen encoder through OpenVINO, for feature stores that are built on a CPU: `features.backend=openvino`.

In float32 it says what torch says, to rounding; in bfloat16 it rounds elsewhere than torch. Either way the backend is
part of a store's key. Pictures that are captioned later go through torch, so a checkpoint needs no OpenVINO.
"""

import warnings
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from showtell.config import ConfigError
from showtell.models.encoders.base import Encoder

_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_BATCH = 8


def check_openvino(device: torch.device) -> None:
    """Refuses, by a ConfigError, OpenVINO where it is not installed, or where a GPU computes."""
    if find_spec("openvino") is None:
        raise ConfigError(
            "features.backend=openvino: OpenVINO is not installed; run `pip install '.[openvino]'`, "
            "or use features.backend=torch"
        )
    if device.type != "cpu":
        raise ConfigError(
            f"features.backend=openvino computes on a CPU, and this run on {device.type}; use features.backend=torch"
        )


class OpenVinoEncoder:
    """An encoder, compiled for this processor: `(B, 3, S, S)` pixels to float32 `(B, *feature_shape)`."""

    def __init__(self, encoder: Encoder, precision: str) -> None:
        import openvino  # late: an extra

        self.feature_shape = encoder.feature_shape()
        size = encoder.transform.size
        with warnings.catch_warnings():  # what torch says of being traced
            warnings.simplefilter("ignore")
            model = openvino.convert_model(
                encoder, example_input=torch.zeros(1, 3, size, size), input=[_BATCH, 3, size, size]
            )
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        self.compiled = openvino.Core().compile_model(model, "CPU", settings)

    def __call__(self, pixels: Tensor) -> Tensor:
        """The features of normalized pixels."""
        return torch.cat([self._encode(part) for part in torch.split(pixels, _BATCH)])

    def _encode(self, part: Tensor) -> Tensor:
        # compiled for this many pictures it is faster by 4 to 8%; black ones fill up the last batch
        full = nn.functional.pad(part, (0,) * 7 + (_BATCH - len(part),))
        return torch.from_numpy(self.compiled(full.numpy())[0][: len(part)].copy())
