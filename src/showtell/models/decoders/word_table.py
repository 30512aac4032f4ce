"""Decoders to whose step a word brings numbers that depend on the word alone, such as its part of an LSTM's gates.

In training these are one matrix product for all words of a batch. Decoding says the same few hundred words over and
over, so it keeps what each of them brings in a table, filled with the words that come: a row costs its product once,
and a word that is never said costs nothing, not even memory.
Shape legend: N rows, V vocabulary, X what a word brings.
"""

from abc import abstractmethod

import torch
from torch import Tensor

from showtell.decoding import State, Stepper
from showtell.models.decoders.base import Decoder, keeping_casts
from showtell.models.layers import WordEmbedding


class WordTableDecoder(Decoder):
    """A decoder whose step is `advance(word(tokens), state)`."""

    word_embedding: WordEmbedding

    @abstractmethod
    def word(self, tokens: Tensor) -> Tensor:
        """What tokens of any shape bring whatever came before them: `(..., X)`."""

    @abstractmethod
    def advance(self, word: Tensor, state: State) -> tuple[Tensor, State]:
        """The next word's logits `(N, V)` and the new state, from `word` `(N, X)` and the state before it."""

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One word further: tokens `(N,)` to logits `(N, V)`."""
        return self.advance(self.word(tokens), state)

    def stepper(self) -> Stepper:
        """`step` with a table of words, except in training, where dropout draws anew each time."""
        if self.training or type(self).step is not WordTableDecoder.step:
            return super().stepper()
        return Stepper(keeping_casts(WordTable(self).step), self.of_picture)


class WordTable:
    """What tokens bring to the steps of a decoder; each row of the table is computed when it is first asked for."""

    def __init__(self, decoder: WordTableDecoder) -> None:
        self.decoder = decoder
        self.rows: Tensor | None = None

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The decoder's step."""
        return self.decoder.advance(self.look_up(tokens), state)

    def look_up(self, tokens: Tensor) -> Tensor:
        """From `(N,)` to `(N, X)`."""
        if self.rows is None:
            found, size = self.decoder.word(tokens[:1]), self.decoder.word_embedding.num_embeddings
            self.rows = found.new_empty(size, found.shape[1])
            self.known = torch.zeros(size, dtype=torch.bool, device=tokens.device)
        missing = tokens[~self.known[tokens]]
        if len(missing):
            missing = torch.unique(missing)
            self.rows[missing] = self.decoder.word(missing)
            self.known[missing] = True
        return self.rows.index_select(0, tokens)
