"""The loss of a batch that several ranks share: one value on all of them, equal to a single process's.

A rank's loss is the mean over its rows. Weighted with `rows of this rank * ranks / rows of all`, the mean over ranks,
which is what DDP makes of their gradients, is the mean over all rows, also where ranks have unequal numbers of rows or
none at all. The value handed on is that mean itself: whoever looks at it (the curves, the check for NaN, a progress
bar) sees the loss of the run, and all ranks draw the same conclusion at the same step.
"""

from typing import Any

import torch
from torch import Tensor


class _MeanOverRanks(torch.autograd.Function):
    """Forward: the mean over ranks. Backward: the gradient as it comes, since DDP averages those of the parameters."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor) -> Tensor:
        total = loss.detach().clone()
        torch.distributed.all_reduce(total)
        return total / torch.distributed.get_world_size()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def mean_over_ranks(loss: Tensor) -> Tensor:
    """The mean of a weighted loss over ranks; its gradient is this rank's. Every rank must ask."""
    mean: Tensor = _MeanOverRanks.apply(loss)
    return mean
