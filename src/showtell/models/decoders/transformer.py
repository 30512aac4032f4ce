"""A small transformer decoder with cached keys and values (Vaswani et al. 2017, arXiv 1706.03762).

Pre-norm blocks (Xiong et al. 2020, arXiv 2002.04745), which train without care about warm-up: self-attention over
the words so far, cross-attention on the regions, a feed-forward layer of four times the width. Positions of words
are sines and cosines, so there is no longest caption. In decoding the state holds each layer's keys and values of
the words so far, and they grow by one.
Shape legend: B batch, N rows, T words so far, V vocabulary, R regions, E embedding, H hidden, L layers.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from showtell.decoding import State
from showtell.models.decoders.base import Decoder
from showtell.models.layers import Regions, WordEmbedding, WordOutput, by_picture, given_words
from showtell.models.products import Linear
from showtell.models.settings import TransformerConfig


class TransformerDecoder(Decoder):
    """`num_layers` blocks of width `hidden_size`.

    State: past `(N, T, L, 2H)`, keys and values of words; weights `(N, R)`; memory `(B, L, R, 2H)`, keys and values of
    the picture's regions.
    """

    takes_several = True
    of_picture = 1
    compiles = ("_words_after",)

    def __init__(self, config: TransformerConfig, feature_size: int, vocabulary_size: int) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.regions = Regions(config, feature_size)
        self.word_embedding = WordEmbedding(config, vocabulary_size)
        self.enter = Linear(config.embedding_size, hidden)
        self.memory = Linear(self.regions.size, config.num_layers * 2 * hidden)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(hidden)
        self.output = WordOutput(config, hidden, self.word_embedding)

    def forward(self, features: Tensor, captions: Tensor) -> Tensor:
        """Teacher forcing: features `(B, R, D)` and captions `(B, T)` to logits `(B, T, V)`."""
        logits: Tensor = self.output(self.before_words(features, captions)[0])
        return logits

    def before_words(self, features: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        """See `Decoder`."""
        past, _, memory = self.begin(features, captions)
        before = self._words_after(given_words(captions), past, memory)[0]
        return before, before.new_zeros(())

    def initial_state(self, features: Tensor) -> State:
        """The state after the picture was seen."""
        regions: Tensor = self.regions(features)
        memory = self.memory(regions).view(*regions.shape[:2], len(self.blocks), -1).transpose(1, 2)
        past = memory.new_zeros(len(regions), 0, len(self.blocks), memory.shape[3])
        return past, regions.new_zeros(regions.shape[:2]), memory

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One word further: tokens `(N,)` to logits `(N, V)`."""
        past, _, memory = state
        before, past, weights = self._words_after(tokens.unsqueeze(1), past, memory, single=True)
        return self.output(before.squeeze(1)), (past, weights, memory)

    def attention(self, state: State) -> Tensor:
        """The weights `(N, R)` on the regions in the last step: the last layer's, averaged over heads."""
        return state[1]

    def _words_after(
        self, tokens: Tensor, past: Tensor, memory: Tensor, single: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What becomes logits `(N, T', H)`, the past with the words given, a `single` word's weights on the regions."""
        places = sinusoids(past.shape[1], tokens.shape[1], self.enter.out_features).to(memory)
        hidden = self.enter(self.word_embedding(tokens)) + places
        layers = []
        for layer, block in enumerate(self.blocks):
            hidden, known, query = block(hidden, past[:, :, layer], memory[:, layer], causal=not single)
            layers.append(known)
        last = cast(Block, self.blocks[-1])
        weights = last.weights(query, memory[:, -1]) if single else hidden.new_zeros(())
        return self.norm(hidden), torch.stack(layers, dim=2), weights


class Block(nn.Module):
    """Self-attention, cross-attention, feed-forward, each on a normalized copy and added."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.heads = config.num_heads
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(3))
        self.self_in = Linear(hidden, 3 * hidden)
        self.self_out = Linear(hidden, hidden)
        self.query = Linear(hidden, hidden)
        self.cross_out = Linear(hidden, hidden)
        self.widen = Linear(hidden, 4 * hidden)
        self.narrow = Linear(4 * hidden, hidden)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, past: Tensor, memory: Tensor, causal: bool) -> tuple[Tensor, Tensor, Tensor]:
        """From `(N, T', H)` to the same, keys and values `(N, T + T', 2H)` of all words, and what asked the regions.

        Captions of one picture ask its regions as one longer caption would. `causal`: no word sees later ones.
        """
        query, own = self.self_in(self.norms[0](hidden)).split([hidden.shape[2], 2 * hidden.shape[2]], dim=2)
        known = torch.cat([past, own], dim=1)
        hidden = hidden + self.dropout(self.self_out(self._attend(query, known, causal)))
        asked = self.query(self.norms[1](hidden))
        seen = self._attend(by_picture(asked, memory).flatten(1, 2), memory).view_as(asked)
        hidden = hidden + self.dropout(self.cross_out(seen))
        return hidden + self.dropout(self.narrow(gelu(self.widen(self.norms[2](hidden))))), known, asked

    def weights(self, asked: Tensor, memory: Tensor) -> Tensor:
        """The cross-attention `(N, R)` of the last word, averaged over heads."""
        query = by_picture(asked[:, -1].view(len(asked), self.heads, -1), memory)
        keys = memory.chunk(2, dim=2)[0].reshape(*memory.shape[:2], self.heads, -1)
        energies = torch.einsum("bkhd,brhd->bkhr", query, keys) / math.sqrt(query.shape[3])
        return energies.softmax(dim=3).mean(dim=2).flatten(0, 1)

    def _attend(self, query: Tensor, memory: Tensor, causal: bool = False) -> Tensor:
        """Eq. 1 of the paper in each head: softmax(Q K^T / sqrt(d)) V."""
        keys, values = memory.chunk(2, dim=2)
        q, k, v = (x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2) for x in (query, keys, values))
        mixed: Tensor = scaled_dot_product_attention(q, k, v, is_causal=causal)
        return mixed.transpose(1, 2).flatten(2)


def sinusoids(first: int, count: int, size: int) -> Tensor:
    """Section 3.5: positions `first` to `first + count - 1`, `(count, size)`."""
    rates = torch.exp(torch.arange(0, size, 2) * (-math.log(10000.0) / size))
    angles = torch.arange(first, first + count).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :size]
