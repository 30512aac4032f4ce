"""Which words may come next: the rules that every decoding method obeys.

- `<start>` and `<unk>` are never written, `<end>` not before `min_length` words, only `<end>` after `max_length`.
  Forcing `<end>` costs one more step than cutting the caption off, and buys that every hypothesis is complete and
  its log-probability that of a caption, so finished and cut ones compare.
- With `block_ngram` = n no run of n words occurs twice in a caption (Paulus et al. 2017, arXiv 1705.04304, 2.5).
- Should the rules leave a caption no word at all, `<end>` is allowed before `min_length`. The first word is never
  blocked, so no caption is empty.

A forbidden word has logit -infinity. A word that the decoder itself rules out by -infinity is kept, as extremely
unlikely, so that there is always a next word to choose. Log-probabilities stay those of the decoder over the whole
vocabulary: a rule takes choices away and does not hand their probability to the others.
"""

import torch
from torch import Tensor

from showtell.config import DecodingConfig
from showtell.decoding.hypothesis import DecodingError
from showtell.text import END, START, UNK

FORBIDDEN = float("-inf")
UNLIKELY = -1e30
FIRST_WORD = max(START, END, UNK) + 1


def allowed_logits(logits: Tensor, history: Tensor, config: DecodingConfig) -> Tensor:
    """A copy of the logits in which every forbidden word is -infinity.

    Args:
        logits: (N, V), finite or -infinity.
        history: The words so far, (N, T).
        config: The lengths and the n-gram size.
    """
    if logits.shape[1] <= FIRST_WORD:
        raise DecodingError("the vocabulary holds no word; lower vocab.threshold and train again")
    length = history.shape[1]
    if length == config.max_length:
        return _only_end(logits)
    allowed = logits.clamp_min(UNLIKELY)
    if config.block_ngram:
        _block_repeats(allowed, history, config.block_ngram)
    allowed[:, START] = FORBIDDEN
    allowed[:, UNK] = FORBIDDEN
    if length < config.min_length:
        stuck = allowed[:, FIRST_WORD:].amax(dim=1) == FORBIDDEN
        allowed[:, END].masked_fill_(~stuck, FORBIDDEN)
    return allowed


def _only_end(logits: Tensor) -> Tensor:
    allowed = torch.full_like(logits, FORBIDDEN)
    allowed[:, END] = logits[:, END].clamp_min(UNLIKELY)
    return allowed


def _block_repeats(allowed: Tensor, history: Tensor, size: int) -> None:
    """Forbids, in place, each word that would complete an n-gram of `size` which its row already holds."""
    length = history.shape[1]
    if length < size:
        return
    starts = length - size + 1
    last = history[:, starts:]
    repeats = torch.ones_like(history[:, :starts], dtype=torch.bool)
    for offset in range(size - 1):
        repeats &= history[:, offset : offset + starts] == last[:, offset : offset + 1]
    # a window that does not match points at <start>, which is forbidden anyway
    blocked = torch.where(repeats, history[:, size - 1 :], START)
    allowed.scatter_(1, blocked, FORBIDDEN)
