"""One caption per row: greedy decoding, and sampling with temperature, top-k and nucleus.

Rows whose caption is complete leave the batch at once, so the work shrinks with the number of unfinished captions.

Sampling (nucleus: Holtzman et al. 2020, arXiv 1904.09751) draws all random numbers before the first step: one uniform
number per row and word, turned into a word by inverting the cumulative distribution. So a picture's captions depend on
its own numbers only, not on which of its neighbours have finished; the batch gives what its pictures give one by one
from the same generator; and a generator on the CPU makes the same draws for every device. What decides a word is cut in
this order: temperature, top-k, nucleus. The log-probabilities of the result are the decoder's own, without these.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from showtell.config import DecodingConfig
from showtell.decoding.constraints import allowed_logits
from showtell.decoding.hypothesis import (
    Hypothesis,
    State,
    StepFunction,
    complete,
    log_normalizer,
    repeat_rows,
    select_rows,
)
from showtell.text import END, START

Choice = Callable[[Tensor, Tensor, int], Tensor]


def greedy(step: StepFunction, state: State, config: DecodingConfig) -> list[list[Hypothesis]]:
    """The caption of each picture whose every word is the likeliest after those before it; ties by the lower token."""

    # argmax promises the first of equal maxima
    def likeliest(allowed: Tensor, rows: Tensor, length: int) -> Tensor:
        return allowed.argmax(dim=1)

    return [[caption] for caption in write_captions(step, state, config, likeliest)]


def write_captions(step: StepFunction, state: State, config: DecodingConfig, choose: Choice) -> list[Hypothesis]:
    """Writes one caption per row of the state, each word by one call of `choose` for all unfinished rows.

    Args:
        step: The decoder.
        state: The state of R rows.
        config: The rules that words obey.
        choose: From allowed logits (N, V), the numbers (N,) of the rows they belong to (out of R) and the number of
            words so far to the next tokens (N,).

    Returns:
        R hypotheses.
    """
    count, device = state[0].shape[0], state[0].device
    captions = torch.full((count, config.max_length + 1), END, device=device)
    log_probs = torch.zeros(count, config.max_length + 1, device=device)
    rows = torch.arange(count, device=device)
    tokens = torch.full((count,), START, device=device)
    for length in range(config.max_length + 1):
        logits, state = step(tokens, state)
        logits = logits.float()
        normalizer = log_normalizer(logits)
        allowed = allowed_logits(logits, captions[rows, :length], config)
        tokens = choose(allowed, rows, length)
        captions[rows, length] = tokens
        log_probs[rows, length] = (allowed.gather(1, tokens.unsqueeze(1)) - normalizer).squeeze(1)
        unfinished = (tokens != END).nonzero().squeeze(1)
        if len(unfinished) == 0:
            break
        if len(unfinished) < len(rows):
            rows, tokens, state = rows[unfinished], tokens[unfinished], select_rows(state, unfinished)
    pairs = zip(captions.tolist(), log_probs.tolist(), strict=True)
    return [complete(caption, summands, config.length_penalty) for caption, summands in pairs]


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
