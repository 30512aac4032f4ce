"""Soft attention: Show, Attend and Tell (Xu et al. 2015, arXiv 1502.03044), sections 3 and 4.2.

Numbers of equations are the paper's. The next word sees the picture through a context z_t, a mean of the regions
a_i with weights alpha_ti that the LSTM chooses anew for every word. What does not depend on the step before (keys
of the regions, the words' part of the gates, the output words) is computed for all T at once, and what the hidden
state feeds (query, gate beta, recurrent part of the LSTM) is one matrix product per step. Not the paper's: regions are
normalized, know their place (see `layers.py`) and may be projected first; words and features have a dropout of
their own.
Shape legend: B batch, N rows, T words with `<end>`, V vocabulary, R regions, D region, E embedding, H hidden, A
attention.
"""

import torch
from torch import Tensor, nn

from showtell.decoding import State
from showtell.models.decoders.word_table import WordTableDecoder
from showtell.models.layers import (
    Regions,
    WordEmbedding,
    WordOutput,
    attention_weights,
    coverage_penalty,
    given_words,
    lstm_cell,
    mean_region,
)
from showtell.models.products import Linear
from showtell.models.settings import AttentionConfig

HIDDEN, CELL, WEIGHTS, REGIONS, KEYS = range(5)
"""Places in the state: hidden, cell `(N, H)`, last weights `(N, R)`, regions `(B, R, D)`, keys `(B, R, A)` doubled."""


class SoftAttentionDecoder(WordTableDecoder):
    """An LSTM that looks at a mixture of regions before each word."""

    takes_several = True
    of_picture = 2
    compiles = ("_recur",)

    def __init__(self, config: AttentionConfig, feature_size: int, vocabulary_size: int) -> None:
        super().__init__()
        hidden, attention = config.hidden_size, config.attention_size
        self.penalty_weight = config.attention_penalty
        self.regions = Regions(config, feature_size)
        self.word_embedding = WordEmbedding(config, vocabulary_size)
        self.initial = Linear(self.regions.size, 2 * hidden)
        self.key = Linear(self.regions.size, attention)
        self.energy = nn.Linear(attention, 1, bias=False)
        self.from_hidden = Linear(hidden, attention + 1 + 4 * hidden)
        self.from_word = Linear(config.embedding_size, 4 * hidden, bias=False)
        self.from_context = Linear(self.regions.size, 4 * hidden, bias=False)
        self.deep_hidden = Linear(hidden, config.embedding_size)
        self.deep_context = Linear(self.regions.size, config.embedding_size, bias=False)
        self.output = WordOutput(config, config.embedding_size, self.word_embedding)
        self.splits = [attention, 1, 4 * hidden]

    def forward(self, features: Tensor, captions: Tensor) -> Tensor:
        """Teacher forcing.

        Args:
            features: `(B, R, D)`, or `(B, D)` for a single region.
            captions: `(B, T)` tokens, `<end>` last; `(k B, T)`: k per picture, side by side.

        Returns:
            Logits `(B, T, V)` of each token given the ones before it.
        """
        return self.teacher_forced(features, captions)[0]

    def teacher_forced(self, features: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        """`forward`, and what training adds to cross-entropy: doubly stochastic attention's term, over captions."""
        before, extra = self._before_words(features, captions)
        return self.output(before), extra

    def before_words(self, features: Tensor, captions: Tensor) -> tuple[Tensor, Tensor] | None:
        """See `Decoder`."""
        return self._before_words(features, captions)

    def _before_words(self, features: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        before, weights, _ = self.unrolled(features, captions)
        return before, coverage_penalty(self.penalty_weight, weights)

    def unrolled(
        self, features: Tensor, captions: Tensor, expected: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What becomes logits `(B, T, E)`, weights alpha and what `look` made of them for the context, `(B, T, R)`."""
        hidden, cell, _, regions, keys = self.begin(features, captions)
        words = self.word_embedding(given_words(captions))
        columns = []
        for word in self.from_word(words).unbind(1):
            hidden, cell, *looked = self._recur(word, hidden, cell, regions, keys, expected)
            columns.append((hidden, *looked))
        hiddens, contexts, weights, looks = (torch.stack(column, dim=1) for column in zip(*columns, strict=True))
        return self._before_output(words, hiddens, contexts), weights, looks

    def initial_state(self, features: Tensor) -> State:
        """The state after the picture was seen; h_0 and c_0 come from the mean region (section 3.1.2)."""
        regions: Tensor = self.regions(features)
        hidden, cell = self.initial(regions.mean(dim=1)).tanh().chunk(2, dim=1)
        return hidden, cell, regions.new_zeros(regions.shape[:2]), regions, 2 * self.key(regions)

    def word(self, tokens: Tensor) -> Tensor:
        """The embedded word and what it brings to the gates, side by side: `(N, E + 4H)`."""
        word = self.word_embedding(tokens)
        return torch.cat([word, self.from_word(word)], dim=-1)

    def advance(self, word: Tensor, state: State) -> tuple[Tensor, State]:
        """One word further."""
        hidden, cell, _, regions, keys = state
        word, gates = word.tensor_split([self.word_embedding.embedding_dim], dim=1)
        hidden, cell, context, weights, _ = self._recur(gates, hidden, cell, regions, keys)
        logits = self.output(self._before_output(word, hidden, context))
        return logits, (hidden, cell, weights, regions, keys)

    def attention(self, state: State) -> Tensor:
        """The weights `(N, R)` on the regions in the step that led to this state."""
        return state[WEIGHTS]

    def look(self, weights: Tensor, expected: Tensor | None = None) -> Tensor:
        """What the regions count for in the context; soft attention always takes the expectation, eq. 13."""
        return weights

    def _recur(
        self,
        word: Tensor,
        hidden: Tensor,
        cell: Tensor,
        regions: Tensor,
        keys: Tensor,
        expected: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Hidden, cell, context z_t, weights alpha_t, and what the regions counted for."""
        query, beta, recurrent = self.from_hidden(hidden).split(self.splits, dim=1)
        weights = attention_weights(self.energy, keys, query)  # eq. 4 and 5
        looked = self.look(weights, expected)
        context = mean_region(looked, regions)  # eq. 6 and 13
        context = beta.sigmoid() * context  # section 4.2.1: beta_t = sigmoid(f_beta(h_{t-1}))
        gates = word + recurrent + self.from_context(context)  # eq. 1: T (E y_{t-1}, h_{t-1}, z_t)
        hidden, cell = lstm_cell(gates.chunk(4, dim=1), cell)  # eq. 2 and 3
        return hidden, cell, context, weights, looked

    def _before_output(self, word: Tensor, hidden: Tensor, context: Tensor) -> Tensor:
        """Of eq. 7, L_o (E y_{t-1} + L_h h_t + L_z z_t), what stands in brackets."""
        deep: Tensor = word + self.deep_hidden(hidden) + self.deep_context(context)
        return deep
