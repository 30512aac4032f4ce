from collections import Counter

import pytest
import torch
from tests.decoding.toys import PrefixDecoder
from torch import Tensor

from showtell.config import DecodingConfig
from showtell.decoding import DecodingError, Hypothesis, State, decode
from showtell.decoding.sampling import _invert
from showtell.text import END, START

PROBS = torch.tensor([0.0, 0.0, 0.0, 0.1, 0.4, 0.2, 0.3])


def drawn(**settings: float) -> dict[int, float]:
    """How often each token comes out for evenly spread random numbers."""
    config = DecodingConfig(method="sample", **settings)
    numbers = (torch.arange(1000) + 0.5) / 1000
    tokens = _invert(PROBS.log().expand(1000, -1), numbers, config)
    return {token: count / 1000 for token, count in sorted(Counter(tokens.tolist()).items())}


def seeded(decoder: PrefixDecoder, config: DecodingConfig, seed: int, pictures: int = 12) -> list[list[Hypothesis]]:
    return decode(decoder, decoder.start(pictures), config, torch.Generator().manual_seed(seed))


def test_words_come_as_often_as_their_probability_says() -> None:
    assert drawn() == pytest.approx({3: 0.1, 4: 0.4, 5: 0.2, 6: 0.3}, abs=0.002)


def test_temperature_sharpens() -> None:
    squares = {3: 0.01 / 0.3, 4: 0.16 / 0.3, 5: 0.04 / 0.3, 6: 0.09 / 0.3}
    assert drawn(temperature=0.5) == pytest.approx(squares, abs=0.002)


def test_a_temperature_near_zero_takes_the_likeliest() -> None:
    assert drawn(temperature=0.01) == {4: 1.0}


def test_top_k_keeps_the_k_likeliest() -> None:
    assert drawn(top_k=2) == pytest.approx({4: 4 / 7, 6: 3 / 7}, abs=0.002)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.01, {4}), (0.39, {4}), (0.41, {4, 6}), (0.75, {4, 5, 6}), (1.0, {3, 4, 5, 6})]
)
def test_nucleus_is_the_smallest_set_that_reaches_p(top_p: float, kept: set[int]) -> None:
    assert set(drawn(top_p=top_p)) == kept


def test_nucleus_counts_what_top_k_left() -> None:
    # of 4/7 and 3/7 the first alone reaches 0.5, of the whole distribution it would not
    assert set(drawn(top_k=2, top_p=0.5)) == {4}


@pytest.mark.parametrize("number", [0.0, 1 - 2**-24])
def test_the_extreme_random_numbers_draw_possible_words(number: float) -> None:
    logits = torch.randn(10_000, 9, generator=torch.Generator().manual_seed(0))
    logits[:, [0, -1]] = float("-inf")
    for settings in ({}, {"top_k": 2}, {"top_p": 0.5}):
        drawn = _invert(logits, torch.full((10_000,), number), DecodingConfig(method="sample", **settings))
        assert ((drawn > 0) & (drawn < 8)).all()


def test_the_seed_decides() -> None:
    decoder, config = PrefixDecoder(vocabulary=20), DecodingConfig(method="sample", num_captions=3, max_length=8)
    assert seeded(decoder, config, seed=1) == seeded(decoder, config, seed=1)
    assert seeded(decoder, config, seed=1) != seeded(decoder, config, seed=2)


def test_a_batch_draws_what_its_pictures_draw_one_by_one() -> None:
    decoder = PrefixDecoder(vocabulary=20, end_bonus=1.5)
    config = DecodingConfig(method="sample", num_captions=3, max_length=8)
    generator = torch.Generator().manual_seed(5)
    state = decoder.start(12)
    alone = [decode(decoder, tuple(t[i : i + 1] for t in state), config, generator)[0] for i in range(12)]
    assert seeded(decoder, config, seed=5) == alone


def test_samples_are_sorted_and_scored_by_the_decoder() -> None:
    decoder = PrefixDecoder(vocabulary=20)
    config = DecodingConfig(method="sample", num_captions=4, max_length=6, temperature=2.0, top_p=0.8)
    for picture, captions in enumerate(seeded(decoder, config, seed=1)):
        assert [c.score for c in captions] == sorted((c.score for c in captions), reverse=True)
        assert [c.score for c in captions] == pytest.approx(
            [decoder.score(c.tokens, picture, config) for c in captions], abs=1e-5
        )


def test_top_1_is_greedy() -> None:
    decoder = PrefixDecoder(vocabulary=20, end_bonus=1.0)
    greedy = decode(decoder, decoder.start(30), DecodingConfig(max_length=8))
    assert decode(decoder, decoder.start(30), DecodingConfig(method="sample", top_k=1, max_length=8)) == greedy


def test_an_unlikely_first_end_and_unknown_are_never_drawn() -> None:
    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        logits = torch.zeros(len(tokens), 5)
        logits[:, :3] = 30
        return logits, state

    config = DecodingConfig(method="sample", num_captions=50, max_length=4, min_length=2)
    captions = decode(step, (torch.zeros(4, 1),), config, torch.Generator().manual_seed(0))
    tokens = {token for several in captions for caption in several for token in caption.tokens}
    assert tokens == {3, 4}
    assert {len(caption.tokens) for several in captions for caption in several} == {2}


def by_hand(decoder: PrefixDecoder, picture: int, config: DecodingConfig) -> tuple[int, ...]:
    """Greedy decoding of one picture in plain Python."""
    state = tuple(tensor[picture : picture + 1] for tensor in decoder.start(picture + 1))
    words: list[int] = []
    token = START
    while len(words) < config.max_length:
        logits, state = decoder(torch.tensor([token]), state)
        choices = [t for t in range(logits.shape[1]) if t > 2 or (t == END and len(words) >= config.min_length)]
        token = max(choices, key=lambda t: float(logits[0, t]))
        if token == END:
            break
        words.append(token)
    return tuple(words)


@pytest.mark.parametrize("min_length", [1, 4])
def test_every_word_is_the_likeliest(min_length: int) -> None:
    decoder = PrefixDecoder(vocabulary=12, end_bonus=1.5)
    config = DecodingConfig(max_length=9, min_length=min_length)
    captions = [hypotheses[0].tokens for hypotheses in decode(decoder, decoder.start(40), config)]
    assert captions == [by_hand(decoder, picture, config) for picture in range(40)]
    assert len({len(caption) for caption in captions}) > 3


def test_log_probabilities_are_the_decoders() -> None:
    decoder = PrefixDecoder(vocabulary=12, end_bonus=1.0)
    config = DecodingConfig(max_length=5)
    for picture, (caption,) in enumerate(decode(decoder, decoder.start(20), config)):
        summands = decoder.log_probs(caption.tokens, picture)
        assert caption.word_log_probs == pytest.approx(summands, abs=1e-5)
        assert caption.log_prob == pytest.approx(sum(summands), abs=1e-5)
        assert caption.score == pytest.approx(sum(summands) / len(summands), abs=1e-5)


def test_finished_captions_leave_the_batch() -> None:
    decoder = PrefixDecoder(vocabulary=12, end_bonus=1.5)
    hypotheses = decode(decoder, decoder.start(40), DecodingConfig(max_length=9))
    assert decoder.rows == sum(len(caption.tokens) + 1 for (caption,) in hypotheses)


def test_no_pictures_no_captions() -> None:
    decoder = PrefixDecoder(vocabulary=12)
    assert decode(decoder, decoder.start(0), DecodingConfig()) == []


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_diverged_decoder_is_told_of(method: str, value: float) -> None:
    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return torch.full((len(tokens), 9), value), state

    with pytest.raises(DecodingError, match="learning_rate"):
        decode(step, (torch.zeros(2, 1),), DecodingConfig(method=method))


def test_a_state_without_tensors_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        decode(PrefixDecoder(vocabulary=12), (), DecodingConfig())
