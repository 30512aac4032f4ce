"""Words on their way into and out of a decoder: dropout, tied matrices.

Tied embeddings: input and output words share one matrix (Press and Wolf 2017, arXiv 1608.05859; Inan et al. 2017,
arXiv 1611.01462). A third of a small captioner's weights falls away, and rare words learn from both sides.
"""

import torch
from torch import Tensor, nn

from showtell.config import DecoderConfig
from showtell.vocabulary import START


class WordEmbedding(nn.Embedding):
    """Tokens to vectors, with `decoder.word_dropout`."""

    def __init__(self, config: DecoderConfig, vocabulary_size: int) -> None:
        super().__init__(vocabulary_size, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout if config.word_dropout is None else config.word_dropout)
        if config.tie_embeddings:
            # as output words, vectors of length sqrt(E) would make every guess a certain one
            nn.init.normal_(self.weight, std=config.embedding_size**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embedded words, of tokens' shape with E as last dimension."""
        embedded: Tensor = self.dropout(super().forward(tokens))
        return embedded


class WordOutput(nn.Module):
    """Vectors of size `input_size` to logits, after `decoder.dropout`; tied to `words` where asked."""

    def __init__(self, config: DecoderConfig, input_size: int, words: WordEmbedding) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        inner = config.embedding_size if config.tie_embeddings else input_size
        self.project = nn.Linear(input_size, inner) if inner != input_size else nn.Identity()
        self.output = nn.Linear(inner, words.num_embeddings)
        if config.tie_embeddings:
            self.output.weight = words.weight

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.output(self.project(self.dropout(hidden)))
        return logits


def given_words(captions: Tensor) -> Tensor:
    """What teacher forcing feeds for captions `(B, T)`: `<start>` and all but the last token."""
    return torch.cat([captions.new_full((len(captions), 1), START), captions[:, :-1]], dim=1)
