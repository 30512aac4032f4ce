"""Scheduled sampling, averaged weights, self-critical training, pretrained vectors."""

import numpy as np
import pytest
import torch
from tests.small_settings import DECODERS, REGION_DECODERS, decoder_settings
from torch import nn

from showtell.config import ConfigError
from showtell.models.decoders.base import build_decoder
from showtell.models.layers import padded
from showtell.models.module import CaptionModule, ema_copy, update_ema
from showtell.models.objective import CaptionBatch
from showtell.models.word_vectors import WordVectorsError, load_word_vectors, read_word_vectors, word_matrix
from showtell.objectives.cross_entropy import CrossEntropy, scheduled_sampling
from showtell.objectives.self_critical import SelfCritical, cider_reward, log_probabilities
from showtell.objectives.settings import CrossEntropyConfig, SelfCriticalConfig
from showtell.text import SPECIAL_TOKENS, Vocabulary

V, D = 7, 5
CAPTIONS = torch.tensor([[3, 4, 5, 1], [6, 3, 3, 1]])


def decoder_and_features(name="lstm", **settings):
    torch.manual_seed(0)
    sizes = dict(embedding_size=8, hidden_size=8, attention_size=4, num_heads=2)
    features = torch.randn(2, 4, D) if name in REGION_DECODERS else torch.randn(2, D)
    return build_decoder(decoder_settings(name, **sizes, **settings), features.shape[1:], V), features


def cross_entropy(**settings):
    return CrossEntropy(CrossEntropyConfig(**settings))


def self_critical(reward, **settings):
    return SelfCritical(SelfCriticalConfig(**settings), Vocabulary(SPECIAL_TOKENS), None, reward)


def reward_loss(decoder, features, reward, **settings):
    return self_critical(reward, **settings)(
        decoder, CaptionBatch(features, CAPTIONS, torch.tensor([7, 9][: len(features)]))
    )[0]


@pytest.mark.parametrize("name", DECODERS)
def test_scheduled_sampling_without_sampling_is_teacher_forcing(name):
    decoder, features = decoder_and_features(name)
    decoder.eval()
    logits = scheduled_sampling(decoder, features, CAPTIONS, 0.0)
    torch.testing.assert_close(logits, decoder(features, CAPTIONS), atol=1e-5, rtol=1e-5)
    mixed = scheduled_sampling(decoder, features, CAPTIONS, 1.0)
    torch.testing.assert_close(mixed[:, 0], logits[:, 0])
    assert not torch.allclose(mixed[:, 1:], logits[:, 1:])


def test_the_average_follows_the_weights_and_has_no_gradient():
    decoder, _ = decoder_and_features(tie_embeddings=True)
    average = ema_copy(decoder)
    before = average.word_embedding.weight.clone()
    with torch.no_grad():
        decoder.word_embedding.weight += 1
    update_ema(average, decoder, 0.75)
    # a tied matrix has two names in the state dict, and must not be moved twice
    torch.testing.assert_close(average.word_embedding.weight, before + 0.25)
    assert average.output.output.weight is average.word_embedding.weight
    assert not any(p.requires_grad for p in average.parameters())


def test_log_probabilities_are_those_of_what_decoding_may_say():
    decoder, features = decoder_and_features()
    decoder.eval()
    every = torch.tensor([[token] for token in range(V)])
    total = log_probabilities(decoder, features[:1].expand(V, -1), every).exp()
    assert total.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert total[:3].sum().item() == pytest.approx(0.0, abs=1e-6)  # nor <end>: no caption is empty
    after = torch.tensor([[4, token] for token in range(V)])
    later = log_probabilities(decoder, features[:1].expand(V, -1), after)[:, 1].exp()
    assert later.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert later[[0, 2]].sum().item() == pytest.approx(0.0, abs=1e-6)
    assert later[1] > 0


def test_an_end_that_was_forced_has_no_gradient(monkeypatch):
    monkeypatch.setattr("showtell.objectives.self_critical.LONGEST", 1)
    monkeypatch.setattr("showtell.objectives.self_critical.log_probabilities", lambda *_: log_probs)
    decoder, features = decoder_and_features()
    log_probs = torch.zeros(6, 2, requires_grad=True)
    rewards = np.arange(6.0)
    reward_loss(decoder, features, lambda *_: rewards, drawn_captions=3).backward()
    assert log_probs.grad[:, 0].abs().max() > 0
    assert torch.equal(log_probs.grad[:, 1], torch.zeros(6))


def test_a_low_temperature_sharpens_the_policy():
    decoder, features = decoder_and_features()
    every = torch.arange(V).unsqueeze(1)
    plain, sharp = (log_probabilities(decoder, features[:1].expand(V, -1), every, t).exp() for t in (1.0, 0.5))
    torch.testing.assert_close(sharp, plain.square() / plain.square().sum())


def test_padding_counts_one_end_per_caption():
    tokens, mask = padded([(4,), (5, 6, 3)], torch.device("cpu"))
    assert tokens.tolist() == [[4, 1, 1, 1], [5, 6, 3, 1]]
    assert mask.sum(1).tolist() == [2, 4]


@pytest.mark.parametrize("baseline", ["greedy", "mean"])
@pytest.mark.parametrize("name", ["lstm", "attention", "transformer"])
def test_self_critical_training_finds_what_is_rewarded(name, baseline):
    """The reward is the share of word 4: captions must come to consist of it."""
    decoder, features = decoder_and_features(name)
    adam = torch.optim.Adam(decoder.parameters(), lr=0.01)

    def reward(ids, captions):
        assert set(ids) == {7, 9}
        rewards.extend(np.mean([token == 4 for token in tokens]) for tokens in captions)
        return np.array(rewards[-len(captions) :])

    means = []
    for step in range(30):
        rewards: list[float] = []
        torch.manual_seed(step)
        loss = reward_loss(decoder, features, reward, drawn_captions=6, baseline=baseline)
        adam.zero_grad()
        loss.backward()
        adam.step()
        means.append(np.mean(rewards))
    assert np.mean(means[-5:]) > np.mean(means[:5]) + 0.3


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_estimator_is_on_average_the_gradient_of_the_expected_reward(temperature):
    """Captions of at most one word after which they must end, so that all of them can be listed."""
    decoder, features = decoder_and_features()
    decoder.eval()
    output = decoder.output.output
    worth = {4: 1.0, 3: 0.3}

    def reward(ids, captions):
        return np.array([worth.get(tokens[0], 0.0) for tokens in captions])

    # the first word decides the reward: E[r] = sum over first words
    logits = decoder(features[:1], torch.tensor([[4]]))[0, 0] / temperature
    probs = logits[3:].softmax(0)  # a caption neither begins with a special token nor is empty
    expected = sum(worth.get(token, 0.0) * prob for token, prob in enumerate(probs, start=3))
    (exact,) = torch.autograd.grad(expected, output.bias)
    torch.manual_seed(0)
    losses = [
        reward_loss(decoder, features[:1], reward, drawn_captions=1000, draw_temperature=temperature) for _ in range(4)
    ]
    (estimate,) = torch.autograd.grad(-sum(losses) / 4, output.bias)
    # the loss is per word, so only the direction can be compared
    assert nn.functional.cosine_similarity(exact[3:], estimate[3:], dim=0) > 0.97


def test_drawing_and_scoring_miss_the_same_channels():
    """Where they do, the captions that were drawn are as likely under the scored features as under the drawing ones."""
    decoder, features = decoder_and_features("attention")
    seen = []
    decoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    real = decoder.initial_state
    decoder.initial_state = lambda given: seen.append(given) or real(given)

    def reward(ids, captions):
        return np.arange(len(captions), dtype=float)

    torch.manual_seed(0)
    reward_loss(decoder, features, reward, drawn_captions=3, baseline="greedy", reward_dropout=0.5)
    drawn, critic, scored = seen[:3]
    assert torch.equal(drawn, scored)
    assert torch.equal(drawn, critic)
    hidden = drawn == 0
    assert torch.equal(hidden, hidden[:, :1].expand_as(hidden))  # a channel is missing in all regions
    assert not torch.equal(hidden[0], hidden[1])  # of each picture others
    assert torch.equal(drawn[~hidden], 2 * features[~hidden])


def test_self_critical_training_can_be_mixed_with_cross_entropy():
    decoder, features = decoder_and_features()
    batch = CaptionBatch(features, CAPTIONS, torch.tensor([7, 9]))

    def reward(ids, captions):
        return np.array([len(caption) for caption in captions], dtype=float)

    def loss(objective):
        torch.manual_seed(0)
        return objective(decoder.eval(), batch)

    drawn = loss(self_critical(reward))
    mixed = loss(self_critical(reward, cross_entropy_weight=0.25, label_smoothing=0.1))
    assert torch.allclose(mixed[0], drawn[0] + 0.25 * loss(cross_entropy(label_smoothing=0.1))[0])
    assert mixed[0] != drawn[0]
    assert mixed[1]["reward"] > 1  # words per caption


def test_own_words_come_with_the_epochs():
    decoder, features = decoder_and_features()
    first, last = (CaptionBatch(features, CAPTIONS, torch.arange(2), progress) for progress in (0.0, 1.0))
    objective = cross_entropy(scheduled_sampling=1.0)
    assert objective(decoder, first)[0] == CrossEntropy()(decoder, first)[0]
    assert objective(decoder, last)[0] != objective(decoder, first)[0]


@pytest.mark.parametrize(
    ("objective", "complete"),
    [
        (CrossEntropy(), True),
        (cross_entropy(scheduled_sampling=0.5), False),
        (self_critical(len), False),
        (self_critical(len, cross_entropy_weight=0.1), True),
        (self_critical(len, cross_entropy_weight=0.1, scheduled_sampling=0.5), False),
    ],
)
def test_ranks_know_which_objectives_leave_weights_without_a_gradient(objective, complete):
    words = Vocabulary([*SPECIAL_TOKENS, *(f"word{i}" for i in range(V - 3))])
    unused = {
        name: CaptionModule(None, decoder_and_features(name)[0], words, objective).leaves_weights_unused
        for name in DECODERS
    }
    assert unused == {name: name == "hard_attention" and not complete for name in DECODERS}


def test_the_reward_counts_the_end_of_a_caption():
    reward = cider_reward({1: ["dog", "a dog"], 2: ["cat"]}, VOCABULARY)
    whole, other = reward([1, 1], [[3], [3, 4]])
    assert whole > other > 0


VOCABULARY = Vocabulary([*SPECIAL_TOKENS, "dog", "cat", "unheard"])


def test_word_vectors_are_read_by_word(tmp_path):
    file = tmp_path / "glove.txt"
    file.write_text("3 2\ncat 1 2\nof a sort 9 9\ndog 3.5 -4\n")
    found = read_word_vectors(file, VOCABULARY, 2)
    assert {token: vector.tolist() for token, vector in found.items()} == {4: [1.0, 2.0], 3: [3.5, -4.0]}
    matrix = torch.ones(6, 2)
    assert load_word_vectors(matrix, file, VOCABULARY) == 2
    assert matrix[5].tolist() == [1.0, 1.0]
    assert (matrix[4] / matrix[4, 0]).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cat 1 2 3\n", ":1: 3 numbers in a line, but decoder.embedding_size=2"),
        ("cat 1\ndog 1 2\n", ":1: 1 numbers in a line"),
        ("dog 1 2\ncat 1 x\n", ":2: a vector must be made of numbers"),
        ("dog 1 2\ncat 1 nan\n", ":2: a number is not finite"),
        ("horse 1 2\n", "no word of the vocabulary"),
        ("", "no word of the vocabulary"),
    ],
)
def test_bad_word_vectors_are_one_line(tmp_path, text, complaint):
    file = tmp_path / "glove.txt"
    file.write_text(text)
    with pytest.raises(WordVectorsError) as error:
        read_word_vectors(file, VOCABULARY, 2)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_decoder_without_word_embedding_takes_no_vectors():
    with pytest.raises(ConfigError, match=r"decoder.word_vectors: Linear has no submodule `word_embedding`"):
        word_matrix(nn.Linear(1, 1))


def test_a_missing_file_of_word_vectors_is_named(tmp_path):
    with pytest.raises(WordVectorsError, match="no such file"):
        read_word_vectors(tmp_path / "none.txt", VOCABULARY, 2)
