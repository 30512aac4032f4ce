"""The article's decoder: its parameter counts, a step computed by hand, and that it learns."""

import numpy as np
import pytest
import torch

from showtell.config import DecodingConfig
from showtell.decoding import decode
from showtell.models.decoders.lstm import LSTMDecoder
from showtell.models.settings import LSTMConfig
from showtell.text import END, START

SMALL = LSTMConfig(embedding_size=5, hidden_size=4)


def decoder(config: LSTMConfig = SMALL, features: int = 6, words: int = 9) -> LSTMDecoder:
    torch.manual_seed(0)
    return LSTMDecoder(config, features, words)


def test_parameter_counts_are_the_articles() -> None:
    words = 9955
    counts = {name: p.numel() for name, p in LSTMDecoder(LSTMConfig(), 2048, words).named_parameters()}
    assert counts == {
        "image_embedding.weight": 2048 * 256,
        "image_embedding.bias": 256,
        "word_embedding.weight": words * 256,
        "lstm.weight_ih_l0": 4 * 100 * 256,
        "lstm.weight_hh_l0": 4 * 100 * 100,
        "lstm.bias_ih_l0": 400,
        "lstm.bias_hh_l0": 400,
        "output.output.weight": words * 100,
        "output.output.bias": words,
    }


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


def test_teacher_forcing_equals_stepping() -> None:
    model = decoder(LSTMConfig(embedding_size=5, hidden_size=4, num_layers=2)).eval()
    features, captions = torch.randn(3, 6), torch.randint(3, 9, (3, 7))
    state = model.initial_state(features)
    inputs = torch.cat([torch.full((3, 1), START), captions[:, :-1]], dim=1)
    steps = []
    for tokens in inputs.T:
        logits, state = model.step(tokens, state)
        steps.append(logits)
    torch.testing.assert_close(torch.stack(steps, dim=1), model(features, captions))


def test_gradients_are_right() -> None:
    model = decoder().double()
    features = torch.randn(2, 6, dtype=torch.double, requires_grad=True)
    captions = torch.tensor([[3, 4, END], [5, 3, END]])
    assert torch.autograd.gradcheck(lambda x: model(x, captions), (features,))


def test_overfits_one_batch() -> None:
    model = decoder(LSTMConfig(embedding_size=16, hidden_size=32))
    features, captions = torch.eye(6), torch.randint(3, 9, (6, 5))
    captions[:, -1] = END
    adam = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(200):
        loss = torch.nn.functional.cross_entropy(model(features, captions).flatten(0, 1), captions.flatten())
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss.item() < 0.05
    found = decode(model.step, model.eval().initial_state(features), DecodingConfig(max_length=10))
    assert [list(best[0].tokens) for best in found] == captions[:, :-1].tolist()


@pytest.mark.parametrize("method", [{"method": "greedy"}, {"method": "beam", "beam_size": 3}])
def test_a_batch_gives_what_its_pictures_give_one_by_one(method: dict[str, object]) -> None:
    model = decoder().eval()
    config = DecodingConfig(max_length=8, **method)  # type: ignore[arg-type]
    features = torch.randn(5, 6)
    together = decode(model.step, model.initial_state(features), config)
    alone = [decode(model.step, model.initial_state(row[None]), config)[0] for row in features]
    assert [best[0].tokens for best in together] == [best[0].tokens for best in alone]
