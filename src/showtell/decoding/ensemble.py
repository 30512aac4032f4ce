"""Several decoders as one: the next word's probability is the mean of theirs."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from showtell.decoding.hypothesis import DecodingError, State, StepFunction


def ensemble_step(steps: Sequence[StepFunction], states: Sequence[State]) -> tuple[StepFunction, State]:
    """Joins decoders that share one vocabulary into one step function over their states side by side.

    The mean is taken over probabilities, not over logits, in each step (as in Sutskever et al. 2014, arXiv 1409.3215,
    and Vinyals et al. 2015, arXiv 1411.4555).

    Args:
        steps: One step function per decoder. Each returns as many state tensors as it is given.
        states: Their states after the picture, with equal numbers of rows.

    Returns:
        The step function, whose logits are log-probabilities, and the state it starts from.
    """
    ends = [0]
    for state in states:
        ends.append(ends[-1] + len(state))

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        answers = [one(tokens, state[ends[i] : ends[i + 1]]) for i, one in enumerate(steps)]
        sizes = {logits.shape[1] for logits, _ in answers}
        if len(sizes) > 1:
            raise DecodingError(f"the decoders' vocabularies hold {sorted(sizes)} words; join only equal ones")
        log_probs = torch.stack([logits.float().log_softmax(dim=1) for logits, _ in answers])
        mean = log_probs.logsumexp(dim=0) - math.log(len(steps))
        return mean, tuple(tensor for _, part in answers for tensor in part)

    return step, tuple(tensor for state in states for tensor in state)
