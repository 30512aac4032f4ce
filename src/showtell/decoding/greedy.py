"""Greedy decoding: the likeliest word, again and again. Also the loop that sampling shares, one caption per row.

Rows whose caption is complete leave the batch at once, so the work shrinks with the number of unfinished captions.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from showtell.config import DecodingConfig
from showtell.decoding.constraints import allowed_logits
from showtell.decoding.hypothesis import Hypothesis, State, StepFunction, complete, log_normalizer, select_rows
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
