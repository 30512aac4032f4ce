"""The article's decoder, as in Show and Tell (Vinyals et al., 2015, arXiv 1411.4555).

The picture is the LSTM's first word. Equations 10 to 12 of the paper: x_{-1} = W_I CNN(I), x_t = W_e S_t for t = 0
... N-1, p_{t+1} = softmax(W LSTM(x_t)). What follows x_{-1} is not scored: `<start>` is given, never predicted.
The feature is brought to one scale first (LayerNorm without parameters): encoders differ a hundredfold in scale,
and a small data set's captions stay blind to a weak one. With `decoder.image_every_step` the picture is added to
every word as well, as in LRCN (Donahue et al. 2015, arXiv 1411.4389): a few hundred pictures do not teach an LSTM
to carry what it saw through a sentence.
Shape legend: B batch, T words of the caption with `<end>`, V vocabulary, D feature, E embedding, H hidden, L
layers.
"""

import torch
from torch import Tensor, nn

from showtell.decoding import State, repeat_rows
from showtell.models.decoders.base import Decoder
from showtell.models.layers import WordEmbedding, WordOutput, feature_dropout, given_words
from showtell.models.settings import LSTMConfig


class LSTMDecoder(Decoder):
    """Image feature -> linear -> first input of an LSTM -> words."""

    takes_several = True

    def __init__(self, config: LSTMConfig, feature_size: int, vocabulary_size: int) -> None:
        super().__init__()
        self.image_every_step = config.image_every_step
        self.normalize = nn.LayerNorm(feature_size, elementwise_affine=False)
        self.feature_dropout = nn.Dropout(feature_dropout(config))
        self.image_embedding = nn.Linear(feature_size, config.embedding_size)
        self.word_embedding = WordEmbedding(config, vocabulary_size)
        between_layers = config.dropout if config.num_layers > 1 else 0.0
        self.lstm = nn.LSTM(
            config.embedding_size, config.hidden_size, config.num_layers, batch_first=True, dropout=between_layers
        )
        self.output = WordOutput(config, config.hidden_size, self.word_embedding)

    def forward(self, features: Tensor, captions: Tensor) -> Tensor:
        """Teacher forcing: features `(B, D)`, or `(B, R, D / R)` read as one vector, and `(B, T)` to `(B, T, V)`."""
        words = self.word_embedding(given_words(captions))
        image = repeat_rows((self._image(features),), len(captions) // len(features))[0]
        if self.image_every_step:
            words = words + image
        hidden, _ = self.lstm(torch.cat([image, words], dim=1))
        logits: Tensor = self.output(hidden[:, 1:])
        return logits

    def initial_state(self, features: Tensor) -> State:
        """The state after the picture was seen: hidden and cell `(B, L, H)`, rows first, and the picture `(B, E)`."""
        image = self._image(features)
        _, (hidden, cell) = self.lstm(image)
        return hidden.transpose(0, 1), cell.transpose(0, 1), image.squeeze(1)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One word further: tokens `(B,)` to logits `(B, V)`."""
        hidden, cell = (part.transpose(0, 1).contiguous() for part in state[:2])
        word, image = self.word_embedding(tokens), state[2]
        given = word + image if self.image_every_step else word
        spoken, (hidden, cell) = self.lstm(given.unsqueeze(1), (hidden, cell))
        return self.output(spoken.squeeze(1)), (hidden.transpose(0, 1), cell.transpose(0, 1), image)

    def _image(self, features: Tensor) -> Tensor:
        """x_{-1}, `(B, 1, E)`."""
        image: Tensor = self.image_embedding(self.feature_dropout(self.normalize(features.flatten(1))))
        return image.unsqueeze(1)
