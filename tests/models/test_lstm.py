"""The article's decoder: a step computed by hand; tests/test_article.py counts its parameters."""

import numpy as np
import torch

from showtell.models.decoders.lstm import LSTMDecoder
from showtell.models.settings import LSTMConfig
from showtell.text import END, START

SMALL = LSTMConfig(embedding_size=5, hidden_size=4)


def decoder(config: LSTMConfig = SMALL, features: int = 6, words: int = 9) -> LSTMDecoder:
    torch.manual_seed(0)
    return LSTMDecoder(config, features, words)


def test_two_steps_by_hand() -> None:
    """Equations of the LSTM (gates in torch's order: input, forget, cell, output), in numpy."""
    model = decoder()
    weights = {name: p.detach().numpy() for name, p in model.named_parameters()}
    features = np.linspace(-1, 1, 6, dtype=np.float32)

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    def cell(x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gates = weights["lstm.weight_ih_l0"] @ x + weights["lstm.bias_ih_l0"]
        gates = gates + weights["lstm.weight_hh_l0"] @ h + weights["lstm.bias_hh_l0"]
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    normal = (features - features.mean()) / np.sqrt(features.var() + 1e-5)
    image = weights["image_embedding.weight"] @ normal + weights["image_embedding.bias"]
    h, c = cell(image, np.zeros(4), np.zeros(4))
    h, c = cell(weights["word_embedding.weight"][START], h, c)
    expected = weights["output.output.weight"] @ h + weights["output.output.bias"]
    logits = model(torch.from_numpy(features)[None], torch.tensor([[5, END]]))
    assert logits.shape == (1, 2, 9)
    np.testing.assert_allclose(logits[0, 0].detach(), expected, atol=1e-6)
