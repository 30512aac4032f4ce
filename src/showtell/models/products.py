"""Linear layers that are `nn.Linear` but for two costs.

- On AMD's processors with AVX-512 MKL, torch's choice for float32, reaches less than half of what oneDNN does
  (`docs/decisions/decoder_speed.md`). Both sum in float32; results differ as far as the order of summing goes. Where
  products are small, a call costs more than it saves.
- In inference mode autocast casts a weight anew in every call. Decoding calls the same layers for each word, so a
  stepper keeps its casts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from showtell.models.precision import processor

LEAST_ROWS, LEAST_PRODUCTS = 3, 2**21
Casts = dict[Tensor, Tensor]
_CASTS: ContextVar[Casts | None] = ContextVar("_CASTS", default=None)


class Linear(nn.Linear):
    """`nn.Linear`, faster on some processors."""

    def forward(self, given: Tensor) -> Tensor:
        """From `(..., I)` to `(..., O)`."""
        return linear(given, self.weight, self.bias)


def linear(given: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`given` `(..., I)` times the transpose of `weight` `(O, I)`, and `bias`."""
    if not _pays(given, weight):
        return nn.functional.linear(given, _cast(weight), bias)
    if torch.is_grad_enabled():
        product: Tensor = _Product.apply(given, weight, bias)
        return product
    return _onednn(given, weight, bias)


def plus_linear(sums: Tensor, given: Tensor, weight: Tensor) -> Tensor:
    """`sums` `(N, O)` and `linear` of `(N, I)`, rounded once where that is one operation."""
    if not _pays(given, weight):
        return torch.addmm(sums, given, _cast(weight).t())
    return sums + linear(given, weight)


@contextmanager
def keeping(casts: Casts) -> Iterator[None]:
    """Weights that autocast wants in another type are cast once, into `casts`, which holds as long as they stay."""
    before = _CASTS.set(casts)
    try:
        yield
    finally:
        _CASTS.reset(before)


def _cast(weight: Tensor) -> Tensor:
    """As autocast would, if it is to be kept."""
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or not isinstance(weight, nn.Parameter):
        return weight
    casts, device = _CASTS.get(), weight.device.type
    if casts is None or not torch.is_autocast_enabled(device):
        return weight
    if weight not in casts:
        casts[weight] = weight.to(torch.get_autocast_dtype(device))
    return casts[weight]


def _pays(given: Tensor, weight: Tensor) -> bool:
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return False
    rows, outputs = given.numel() // given.shape[-1], weight.shape[0]
    return (
        rows >= LEAST_ROWS
        and given.numel() * outputs >= LEAST_PRODUCTS
        and given.is_cpu
        and given.dtype == weight.dtype == torch.float32
        and onednn_is_faster()
    )


@cache
def onednn_is_faster() -> bool:
    """Whether this processor is of the kind on which it was measured to be."""
    return processor(torch.device("cpu")) == "AMD avx512_bf16" and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class _Product(torch.autograd.Function):
    """With gradients."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # transposed as below, rows of a wider tensor would take oneDNN a thousand times as long
        given = given.contiguous()
        ctx.save_for_backward(given, weight)
        return _onednn(given, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        given, weight = ctx.saved_tensors
        rows, inputs = gradient.flatten(0, -2), given.flatten(0, -2)
        return (
            _onednn(gradient, weight.t()) if ctx.needs_input_grad[0] else None,
            _onednn(rows.t(), inputs.t()) if ctx.needs_input_grad[1] else None,
            rows.sum(0) if ctx.needs_input_grad[2] else None,
        )


def _onednn(given: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    # what torch.compile makes of a linear layer on a CPU
    product: Tensor = torch.ops.mkldnn._linear_pointwise(given.contiguous(), weight, bias, "none", [], "")
    return product
