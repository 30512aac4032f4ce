from torch import nn

import showtell
from showtell.models.decoders.base import Decoder


@showtell.register("decoder", name="bigram")
class BigramDecoder(Decoder):
    def __init__(self, config, feature_size, vocabulary_size):
        super().__init__()
        self.image = nn.Linear(feature_size, vocabulary_size)
        self.words = nn.Embedding(vocabulary_size, vocabulary_size)

    def initial_state(self, features):
        return (self.image(features.flatten(1)),)

    def step(self, tokens, state):
        return state[0] + self.words(tokens), state
