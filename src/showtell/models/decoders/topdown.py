"""Top-down attention: one LSTM looks, another speaks (Anderson et al. 2018, arXiv 1707.07998, section 3.2).

Numbers of equations are the paper's. Its regions are a detector's boxes; here they are the cells of the encoder's
grid, the paper's own "ResNet" baseline. Words' and mean region's part of the first LSTM is computed for all T at
once.
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
    by_picture,
    coverage_penalty,
    given_words,
    lstm_cell,
    mean_region,
)
from showtell.models.products import Linear
from showtell.models.settings import TopDownConfig

WEIGHTS = 4
"""The place of the last weights `(N, R)` in the state: h1, c1, h2, c2 `(N, H)`, weights, and of the picture the fixed
part of LSTM 1 `(B, 4H)`, regions `(B, R, D)`, keys `(B, R, A)` doubled."""


class TopDownDecoder(WordTableDecoder):
    """A top-down attention LSTM and a language LSTM."""

    takes_several = True
    of_picture = 3
    compiles = ("_recur",)

    def __init__(self, config: TopDownConfig, feature_size: int, vocabulary_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden = config.hidden_size
        self.penalty_weight = config.attention_penalty
        self.regions = Regions(config, feature_size)
        size = self.regions.size
        self.word_embedding = WordEmbedding(config, vocabulary_size)
        self.from_mean = Linear(size, 4 * hidden)
        self.from_word = Linear(config.embedding_size, 4 * hidden, bias=False)
        self.attention_lstm = Linear(2 * hidden, 4 * hidden, bias=False)
        self.language_lstm = Linear(size + 2 * hidden, 4 * hidden)
        self.key = Linear(size, config.attention_size)
        self.query = Linear(hidden, config.attention_size, bias=False)
        self.energy = nn.Linear(config.attention_size, 1, bias=False)
        self.output = WordOutput(config, hidden, self.word_embedding)

    def forward(self, features: Tensor, captions: Tensor) -> Tensor:
        """Teacher forcing: features `(B, R, D)` and captions `(B, T)` to logits `(B, T, V)`."""
        return self.teacher_forced(features, captions)[0]

    def teacher_forced(self, features: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        """`forward`, and doubly stochastic attention's term (Xu et al. 2015, eq. 14) where it is asked for."""
        before, extra = self.before_words(features, captions)
        return self.output(before), extra

    def before_words(self, features: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        """See `Decoder`."""
        state = self.begin(features, captions)
        hiddens, weights = [], []
        for word in self.word(given_words(captions)).unbind(1):
            state = self._recur(word, state)
            hiddens.append(state[2])
            weights.append(state[WEIGHTS])
        penalty = coverage_penalty(self.penalty_weight, torch.stack(weights, dim=1))
        return torch.stack(hiddens, dim=1), penalty

    def initial_state(self, features: Tensor) -> State:
        """The state after the picture was seen; both LSTMs begin with zeros."""
        regions: Tensor = self.regions(features)
        zeros = regions.new_zeros(len(regions), self.hidden_size)
        weights = regions.new_zeros(regions.shape[:2])
        fixed = self.from_mean(regions.mean(dim=1))
        return zeros, zeros, zeros, zeros, weights, fixed, regions, 2 * self.key(regions)

    def word(self, tokens: Tensor) -> Tensor:
        """What tokens bring to the gates of the first LSTM, `(N, 4H)`."""
        gates: Tensor = self.from_word(self.word_embedding(tokens))
        return gates

    def advance(self, word: Tensor, state: State) -> tuple[Tensor, State]:
        """One word further."""
        state = self._recur(word, state)
        return self.output(state[2]), state

    def attention(self, state: State) -> Tensor:
        """The weights `(N, R)` on the regions in the step that led to this state."""
        return state[WEIGHTS]

    def _recur(self, word: Tensor, state: State) -> State:
        h1, c1, h2, c2, _, fixed, regions, keys = state
        # eq. 1 and 2: x1_t = [h2_{t-1}, mean v, W_e Pi_t]
        word = (by_picture(word, fixed) + fixed.unsqueeze(1)).flatten(0, 1)
        h1, c1 = lstm_cell((word + self.attention_lstm(torch.cat([h2, h1], dim=1))).chunk(4, dim=1), c1)
        weights = attention_weights(self.energy, keys, self.query(h1))  # eq. 3 and 4
        seen = mean_region(weights, regions)  # eq. 5
        # eq. 6: x2_t = [v_t, h1_t]
        h2, c2 = lstm_cell(self.language_lstm(torch.cat([seen, h1, h2], dim=1)).chunk(4, dim=1), c2)
        return h1, c1, h2, c2, weights, fixed, regions, keys
