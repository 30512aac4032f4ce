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
from torch.nn.functional import dropout

from showtell.decoding import State, repeat_rows
from showtell.models.decoders.word_table import WordTableDecoder
from showtell.models.layers import WordEmbedding, WordOutput, by_picture, feature_dropout, given_words, lstm_cell
from showtell.models.products import Linear, cast, linear
from showtell.models.settings import LSTMConfig


class LSTMDecoder(WordTableDecoder):
    """Image feature -> linear -> first input of an LSTM -> words.

    State: hidden and cell `(N, L, H)`; with `image_every_step` also what the picture adds to the gates, `(B, 4H)`.
    """

    takes_several = True
    compiles = ("_image", "_cell")  # `nn.LSTM`, which training calls, is a kernel of its own

    def __init__(self, config: LSTMConfig, feature_size: int, vocabulary_size: int) -> None:
        super().__init__()
        self.image_every_step = config.image_every_step
        self.of_picture = int(config.image_every_step)
        self.normalize = nn.LayerNorm(feature_size, elementwise_affine=False)
        self.feature_dropout = nn.Dropout(feature_dropout(config))
        self.image_embedding = Linear(feature_size, config.embedding_size)
        self.word_embedding = WordEmbedding(config, vocabulary_size)
        between_layers = config.dropout if config.num_layers > 1 else 0.0
        self.lstm = nn.LSTM(
            config.embedding_size, config.hidden_size, config.num_layers, batch_first=True, dropout=between_layers
        )
        self.output = WordOutput(config, config.hidden_size, self.word_embedding)

    def forward(self, features: Tensor, captions: Tensor) -> Tensor:
        """Teacher forcing: features `(B, D)`, or `(B, R, D / R)` read as one vector, and `(B, T)` to `(B, T, V)`."""
        logits: Tensor = self.output(self.before_words(features, captions)[0])
        return logits

    def before_words(self, features: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        """See `Decoder`."""
        words = self.word_embedding(given_words(captions))
        image = repeat_rows((self._image(features),), len(captions) // len(features))[0]
        if self.image_every_step:
            words = words + image
        hidden, _ = self.lstm(torch.cat([image, words], dim=1))
        return hidden[:, 1:], hidden.new_zeros(())

    def initial_state(self, features: Tensor) -> State:
        """The state after the picture was seen."""
        image = self._image(features).squeeze(1)
        nothing = image.new_zeros(len(image), self.lstm.num_layers, self.lstm.hidden_size)
        seen = self._recur(self._gates(image, 0), nothing, nothing)
        return (*seen, linear(image, self._weight("weight_ih", 0))) if self.image_every_step else seen

    def word(self, tokens: Tensor) -> Tensor:
        """What tokens bring to the gates of the first layer, `(N, 4H)`."""
        return self._gates(self.word_embedding(tokens), 0)

    def advance(self, word: Tensor, state: State) -> tuple[Tensor, State]:
        """One word further."""
        hidden, cell, *image = state
        gates = (by_picture(word, image[0]) + image[0].unsqueeze(1)).flatten(0, 1) if image else word
        hidden, cell = self._recur(gates, hidden, cell)
        return self.output(hidden[:, -1]), (hidden, cell, *image)

    def _recur(self, gates: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """One step of `nn.LSTM` in cells, which is much quicker than `nn.LSTM` itself for a few rows."""
        layers: list[tuple[Tensor, Tensor]] = []
        for layer, (before, kept) in enumerate(zip(hidden.unbind(1), cell.unbind(1), strict=True)):
            if layer:
                gates = self._gates(dropout(layers[-1][0], self.lstm.dropout, self.training), layer)
            layers.append(self._cell(gates, self._weight("weight_hh", layer), before, kept))
        hiddens, cells = zip(*layers, strict=True)
        return torch.stack(hiddens, dim=1), torch.stack(cells, dim=1)

    def _cell(self, gates: Tensor, recurrent: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """A layer's hidden and cell `(N, H)` after the word."""
        sums = torch.addmm(gates, hidden, cast(recurrent).t())
        enter, forget, candidate, leave = sums.chunk(4, dim=1)  # as `nn.LSTM`'s
        return lstm_cell((enter, forget, leave, candidate), cell)

    def _gates(self, given: Tensor, layer: int) -> Tensor:
        """What a layer's input brings to its gates, both biases with it."""
        bias = self._weight("bias_ih", layer) + self._weight("bias_hh", layer)
        return linear(given, self._weight("weight_ih", layer), bias)

    def _weight(self, name: str, layer: int) -> Tensor:
        weight: Tensor = getattr(self.lstm, f"{name}_l{layer}")
        return weight

    def _image(self, features: Tensor) -> Tensor:
        """x_{-1}, `(B, 1, E)`."""
        image: Tensor = self.image_embedding(self.feature_dropout(self.normalize(features.flatten(1))))
        return image.unsqueeze(1)
