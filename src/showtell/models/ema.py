"""Exponential moving average of weights (Polyak and Juditsky 1992; Tarvainen and Valpola 2017, arXiv 1703.01780).

Why this is not `torch.optim.swa_utils.AveragedModel` stands in `docs/decisions/ema.md`.
"""

import copy
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def ema_copy(trained: Module) -> Module:
    """A copy that no optimizer touches; whoever asks it puts it into evaluation mode."""
    return copy.deepcopy(trained).requires_grad_(False)


def ema_decay(decay: float, step: int) -> float:
    """`decay`, but a shorter memory in the first steps, so that the average soon forgets the random start."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_ema(average: nn.Module, trained: nn.Module, decay: float) -> None:
    """Average <- decay * average + (1 - decay) * trained, buffers included; counters stay as they are."""
    # not the state dicts: a tied matrix has two names there, and would move twice
    pairs = zip((*average.parameters(), *average.buffers()), (*trained.parameters(), *trained.buffers()), strict=True)
    for mean, value in pairs:
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
