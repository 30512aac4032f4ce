"""Sampling captions: temperature, top-k and nucleus (Holtzman et al. 2020, arXiv 1904.09751), seeded.

All random numbers are drawn before the first step: one uniform number per row and word, turned into a word by inverting
the cumulative distribution. So a picture's captions depend on its own numbers only, not on which of its neighbours have
finished; the batch gives what its pictures give one by one from the same generator; and a generator on the CPU makes
the same draws for every device. What decides a word is cut in this order: temperature, top-k, nucleus. The
log-probabilities of the result are the decoder's own, without these.
"""

import torch
from torch import Tensor

from showtell.config import DecodingConfig
from showtell.decoding.greedy import write_captions
from showtell.decoding.hypothesis import Hypothesis, State, StepFunction, repeat_rows


def sample(
    step: StepFunction, state: State, config: DecodingConfig, generator: torch.Generator | None = None
) -> list[list[Hypothesis]]:
    """`num_captions` captions per picture, drawn independently (equal ones can occur), best score first."""
    pictures, count = state[0].shape[0], config.num_captions
    place = generator.device if generator is not None else torch.device("cpu")
    shape = (pictures * count, config.max_length + 1)
    numbers = torch.rand(shape, generator=generator, device=place).to(state[0].device)

    def draw(allowed: Tensor, rows: Tensor, length: int) -> Tensor:
        return _invert(allowed, numbers[rows, length], config)

    captions = write_captions(step, repeat_rows(state, count), config, draw)
    lists = [captions[first : first + count] for first in range(0, len(captions), count)]
    return [sorted(captions, key=lambda caption: -caption.score) for captions in lists]


def _invert(allowed: Tensor, numbers: Tensor, config: DecodingConfig) -> Tensor:
    """The words (N,) at which the truncated distributions over (N, V) reach the numbers (N,) in [0, 1)."""
    if config.top_k == 0 and config.top_p == 1:
        return _reach(_tempered(allowed, config.temperature), numbers)
    ordered, words = allowed.sort(dim=1, descending=True, stable=True)
    probs = _tempered(ordered, config.temperature)
    if config.top_k:
        probs[:, config.top_k :] = 0
    mass = probs.cumsum(dim=1)
    # a word stays as long as those before it fall short of top_p; the first always stays
    probs = probs.masked_fill(mass - probs >= config.top_p * mass[:, -1:], 0)
    return words.gather(1, _reach(probs, numbers).unsqueeze(1)).squeeze(1)


def _tempered(logits: Tensor, temperature: float) -> Tensor:
    # the largest is subtracted first: divided by a tiny temperature the logits themselves would overflow
    return ((logits - logits.amax(dim=1, keepdim=True)) / temperature).softmax(dim=1)


def _reach(probs: Tensor, numbers: Tensor) -> Tensor:
    """Where the running sums (N, V) of probabilities, of any total, pass the numbers' share of the total."""
    mass = probs.cumsum(dim=1)
    # the largest number is 1 - 2^-24, and its product with a float32 never rounds up to that: a place is always found
    return torch.searchsorted(mass, numbers.unsqueeze(1) * mass[:, -1:], right=True).squeeze(1)
