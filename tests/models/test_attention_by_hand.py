"""One step of each attending decoder, computed with numpy from the papers' formulas."""

import itertools

import numpy as np
import pytest
import torch
from tests.small_settings import REGION_DECODERS, decoder_settings

from showtell.models.decoders.attention import KEYS, REGIONS, SoftAttentionDecoder
from showtell.models.decoders.base import build_decoder
from showtell.models.decoders.hard_attention import HardAttentionDecoder
from showtell.models.decoders.topdown import TopDownDecoder
from showtell.models.decoders.transformer import Block, sinusoids
from showtell.models.layers import grid_shape

D, E, H, A, V, R = 5, 4, 6, 3, 9, 4
SIZES = {"embedding_size": E, "hidden_size": H, "attention_size": A}


NAMES = {SoftAttentionDecoder: "attention", HardAttentionDecoder: "hard_attention", TopDownDecoder: "topdown"}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def weights_of(decoder):
    return {name: value.numpy() for name, value in decoder.state_dict().items()}


def lstm(gates, cell):
    i, f, o, g = np.split(gates, 4)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


def started(cls):
    torch.manual_seed(0)
    decoder = cls(decoder_settings(NAMES[cls], **SIZES), D, V).eval()
    return decoder, decoder.initial_state(torch.randn(1, R, D))


def attend(energies, regions):
    alpha = softmax(energies)
    return alpha, alpha @ regions


def test_soft_attention_step():
    decoder, state = started(SoftAttentionDecoder)
    w = weights_of(decoder)
    a = state[REGIONS][0].detach().numpy()
    start = np.tanh(w["initial.weight"] @ a.mean(0) + w["initial.bias"])
    h, c = start[:H], start[H:]
    logits, after = decoder.step(torch.tensor([4]), state)

    u = w["from_hidden.weight"] @ h + w["from_hidden.bias"]
    query, beta, recurrent = u[:A], u[A], u[A + 1 :]
    energies = np.tanh(a @ w["key.weight"].T + w["key.bias"] + query) @ w["energy.weight"][0]
    alpha, mean = attend(energies, a)
    z = sigmoid(beta) * mean
    word = w["word_embedding.weight"][4]
    h, c = lstm(w["from_word.weight"] @ word + recurrent + w["from_context.weight"] @ z, c)
    deep = word + w["deep_hidden.weight"] @ h + w["deep_hidden.bias"] + w["deep_context.weight"] @ z
    expected = w["output.output.weight"] @ deep + w["output.output.bias"]
    np.testing.assert_allclose(logits[0].detach(), expected, atol=1e-5)
    np.testing.assert_allclose(decoder.attention(after)[0].detach(), alpha, atol=1e-6)
    assert after[KEYS] is state[KEYS], "keys are computed once per picture"


def test_topdown_step():
    decoder, state = started(TopDownDecoder)
    w = weights_of(decoder)
    v = state[6][0].detach().numpy()
    zeros = np.zeros(H)
    word = w["word_embedding.weight"][4]
    gates = w["from_mean.weight"] @ v.mean(0) + w["from_mean.bias"] + w["from_word.weight"] @ word
    h1, _ = lstm(gates, zeros)
    energies = np.tanh(v @ w["key.weight"].T + w["key.bias"] + w["query.weight"] @ h1) @ w["energy.weight"][0]
    alpha, seen = attend(energies, v)
    given = np.concatenate([seen, h1, zeros])
    h2, _ = lstm(w["language_lstm.weight"] @ given + w["language_lstm.bias"], zeros)
    logits, after = decoder.step(torch.tensor([4]), state)
    expected = w["output.output.weight"] @ h2 + w["output.output.bias"]
    np.testing.assert_allclose(logits[0].detach(), expected, atol=1e-5)
    np.testing.assert_allclose(decoder.attention(after)[0].detach(), alpha, atol=1e-6)


def test_transformer_attention_is_softmax_of_scaled_products():
    torch.manual_seed(0)
    block = Block(decoder_settings("transformer", hidden_size=H, num_heads=2))
    query, memory = torch.randn(1, 1, H), torch.randn(1, R, 2 * H)
    out, weights = block._attend(query, memory)[0, 0].numpy(), []
    for head in range(2):
        part = slice(3 * head, 3 * head + 3)
        keys, values = memory[0, :, :H][:, part].numpy(), memory[0, :, H:][:, part].numpy()
        alpha, mean = attend(keys @ query[0, 0, part].numpy() / np.sqrt(3), values)
        np.testing.assert_allclose(out[part], mean, atol=1e-6)
        weights.append(alpha)
    np.testing.assert_allclose(block.weights(query, memory)[0], np.mean(weights, axis=0), atol=1e-6)


def test_sinusoids_are_section_3_5():
    table = sinusoids(3, 2, 6)
    assert table[1, 2] == pytest.approx(np.sin(4 / 10000 ** (2 / 6)), abs=1e-6)
    assert table[1, 3] == pytest.approx(np.cos(4 / 10000 ** (2 / 6)), abs=1e-6)


def test_doubly_stochastic_penalty():
    torch.manual_seed(0)
    decoder = SoftAttentionDecoder(
        decoder_settings("attention", embedding_size=E, hidden_size=H, attention_penalty=2.0), D, V
    ).eval()
    features, captions = torch.randn(2, R, D), torch.tensor([[3, 4, 1], [5, 6, 1]])
    _, alpha, _ = decoder.unrolled(features, captions)
    by_hand = sum(2.0 * sum((1 - alpha[b, :, i].sum()) ** 2 for i in range(R)) for b in range(2)) / 2 / 3  # per word
    penalty = decoder.teacher_forced(features, captions)[1]
    assert penalty.item() == pytest.approx(by_hand.item(), rel=1e-5)


@pytest.mark.parametrize("caption", [[4], [4, 5]])
def test_hard_attention_gradient_is_on_average_that_of_the_expected_likelihood(monkeypatch, caption):
    """Eq. 11 summed over all sequences of locations, against the mean of many draws of eq. 12, both per word."""
    monkeypatch.setattr("showtell.models.decoders.hard_attention.EXPECTED", 0.0)
    torch.manual_seed(0)
    config = decoder_settings("hard_attention", **SIZES, entropy_weight=0.0)
    decoder = HardAttentionDecoder(config, D, V).train()
    decoder.energy.weight.data.mul_(4)
    features, captions = torch.randn(1, R, D) * 2, torch.tensor([caption])

    decoder.eval()
    expected, steps = torch.zeros(()), range(len(caption))
    for places in itertools.product(range(R), repeat=len(caption)):
        left = iter(places)
        monkeypatch.setattr(decoder, "look", lambda alpha, _, left=left: torch.eye(R)[next(left)].expand_as(alpha))
        before, alpha, _ = decoder.unrolled(features, captions)
        log_likelihood = sum(decoder.output(before).log_softmax(2)[0, step, caption[step]] for step in steps)
        expected = expected + torch.stack([alpha[0, step, places[step]] for step in steps]).prod() * log_likelihood
    monkeypatch.undo()
    monkeypatch.setattr("showtell.models.decoders.hard_attention.EXPECTED", 0.0)
    (exact,) = torch.autograd.grad(-expected / len(caption), decoder.energy.weight)

    decoder.train()
    decoder.baseline.fill_(expected.item())  # less variance, the same mean
    draws = 20000
    many, words = features.expand(draws, -1, -1), captions.expand(draws, -1)
    logits, extra = decoder.teacher_forced(many, words)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), words.flatten()) + extra
    (estimate,) = torch.autograd.grad(loss, decoder.energy.weight)
    assert exact.abs().max() > 0.01
    torch.testing.assert_close(estimate, exact, atol=0.05 * float(exact.abs().max()), rtol=0.0)


@pytest.mark.parametrize("name", REGION_DECODERS)
def test_one_region_leaves_no_weight_without_a_gradient(name):
    """Several processes wait for the gradient of every weight."""
    decoder = build_decoder(decoder_settings(name, embedding_size=E, hidden_size=H, num_heads=2), (D,), V)
    decoder(torch.randn(2, D), torch.tensor([[3, 4, 1], [5, 6, 1]])).sum().backward()
    assert [key for key, weight in decoder.named_parameters() if weight.grad is None] == []


def test_hard_attention_keeps_a_moving_baseline_and_is_certain_in_evaluation():
    decoder, _ = started(HardAttentionDecoder)
    features, captions = torch.randn(2, R, D), torch.tensor([[3, 4, 1], [5, 6, 1]])
    decoder.train().teacher_forced(features, captions)
    assert -1.0 < decoder.baseline < 0.0
    looked = decoder.eval().unrolled(features, captions)[2]
    assert ((looked == 0) | (looked == 1)).all()
    assert (looked.sum(2) == 1).all()
    assert torch.equal(decoder(features, captions), decoder(features, captions))


@pytest.mark.parametrize(("regions", "shape"), [(49, (7, 7)), (12, (3, 4)), (7, (1, 7)), (1, (1, 1))])
def test_grid_shape(regions, shape):
    assert grid_shape(regions) == shape


def test_an_interrupted_step_leaves_nothing_of_its_draw_behind(monkeypatch):
    """What a caption drew once for all its words must not reach the next caption's steps."""
    decoder = started(HardAttentionDecoder)[0].train()
    monkeypatch.setattr(decoder, "_before_output", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        decoder.teacher_forced(torch.randn(3, R, D), torch.tensor([[3, 1], [4, 1], [5, 1]]))
    monkeypatch.undo()
    looked = decoder.look(torch.full((64, R), 1 / R))
    assert torch.equal(looked.max(dim=1).values, torch.ones(64))
