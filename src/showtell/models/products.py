"""Linear layers whose weights autocast casts once in a decoding, and not in every step.

In inference mode autocast casts a weight anew in every call, and decoding calls the same layers for each word. oneDNN's
own product for float32, twice as fast as MKL's on some processors, is not used: `docs/decisions/decoder_speed.md`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

Casts = dict[Tensor, Tensor]
_CASTS: ContextVar[Casts | None] = ContextVar("_CASTS", default=None)


class Linear(nn.Linear):
    """`nn.Linear`, by `linear`."""

    def forward(self, given: Tensor) -> Tensor:
        """From `(..., I)` to `(..., O)`."""
        return linear(given, self.weight, self.bias)


def linear(given: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`given` `(..., I)` times the transpose of `weight` `(O, I)`, and `bias`."""
    return nn.functional.linear(given, cast(weight), bias)


@contextmanager
def keeping(casts: Casts) -> Iterator[None]:
    """Weights that autocast wants in another type are cast once, into `casts`, which holds as long as they stay."""
    before = _CASTS.set(casts)
    try:
        yield
    finally:
        _CASTS.reset(before)


def cast(weight: Tensor) -> Tensor:
    """As autocast would, if it is to be kept."""
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or not isinstance(weight, nn.Parameter):
        return weight
    casts, device = _CASTS.get(), weight.device.type
    if casts is None or not torch.is_autocast_enabled(device):
        return weight
    if weight not in casts:
        casts[weight] = weight.to(torch.get_autocast_dtype(device))
    return casts[weight]
