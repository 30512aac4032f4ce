"""Decoders small enough to enumerate: every prefix has its own random distribution."""

import itertools
import math

import torch
from torch import Tensor

from showtell.config import DecodingConfig
from showtell.decoding import State
from showtell.text import END, START

ROWS = 9973


class PrefixDecoder:
    """Next-word logits that depend on the picture and on all words so far: their hash, kept in the state, picks a row.

    The state is (hash (N,), prefix (N, T)); the second tensor grows with the caption, as a transformer's cache does.
    """

    def __init__(self, vocabulary: int, seed: int = 0, spread: float = 1.5, end_bonus: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.randn(ROWS, vocabulary, generator=generator) * spread
        self.table[:, END] += end_bonus
        self.calls = 0
        self.rows = 0

    def start(self, pictures: int) -> State:
        return (torch.arange(pictures) * 7 + 1, torch.zeros(pictures, 0, dtype=torch.int64))

    def __call__(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        self.calls += 1
        self.rows += len(tokens)
        hashes, prefix = state
        hashes = (hashes * 131 + tokens * 17 + 3) % ROWS
        return self.table[hashes], (hashes, torch.cat([prefix, tokens.unsqueeze(1)], dim=1))

    def log_probs(self, caption: tuple[int, ...], picture: int) -> list[float]:
        """The log-probability of each word of the caption and of <end>, one picture, by plain steps."""
        state = tuple(tensor[picture : picture + 1] for tensor in self.start(picture + 1))
        summands = []
        for token, following in itertools.pairwise((START, *caption, END)):
            logits, state = self(torch.tensor([token]), state)
            summands.append(float(logits.double().log_softmax(1)[0, following]))
        return summands

    def score(self, caption: tuple[int, ...], picture: int, config: DecodingConfig) -> float:
        summands = self.log_probs(caption, picture)
        return math.fsum(summands) / len(summands) ** config.length_penalty

    def exhaustive(self, picture: int, config: DecodingConfig) -> list[tuple[int, ...]]:
        """Every caption that the lengths allow, best score first."""
        words = range(3, self.table.shape[1])
        lengths = range(config.min_length, config.max_length + 1)
        captions = [caption for n in lengths for caption in itertools.product(words, repeat=n)]
        return sorted(captions, key=lambda caption: -self.score(caption, picture, config))
