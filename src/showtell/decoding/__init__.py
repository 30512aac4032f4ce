"""Reading captions off a decoder: greedy, beam search, diverse beam groups, sampling.

All of it works on a decoder's one-step function, for a batch of pictures at once, on the device where the state lies.
"""

import torch

from showtell.config import DecodingConfig
from showtell.decoding.beam import beam_search
from showtell.decoding.hypothesis import (
    DecodingError,
    Hypothesis,
    State,
    StepFunction,
    Stepper,
    ensemble_step,
    repeat_rows,
)
from showtell.decoding.sampling import greedy, sample

__all__ = ["DecodingError", "Hypothesis", "State", "StepFunction", "Stepper", "decode", "ensemble_step", "repeat_rows"]


@torch.no_grad()
def decode(
    step: StepFunction, state: State, config: DecodingConfig, generator: torch.Generator | None = None
) -> list[list[Hypothesis]]:
    """Writes captions for P pictures.

    Args:
        step: The decoder; the first token it gets is `<start>`, for every picture.
        state: Its state once it has seen the pictures: tensors with P rows.
        config: The method and its settings.
        generator: Where `method: sample` takes its random numbers; torch's global one when None.

    Returns:
        For each picture its captions, best score first: one for greedy, `num_captions` otherwise (beam search may
        find fewer where the rules leave fewer).

    Raises:
        DecodingError: the logits are not finite, or the vocabulary holds no word.
    """
    if not state:
        raise ValueError("the state holds no tensor, so the number of pictures is unknown; give it at least one")
    if state[0].shape[0] == 0:
        return []
    if config.method == "sample":
        return sample(step, state, config, generator)
    return greedy(step, state, config) if config.method == "greedy" else beam_search(step, state, config)
