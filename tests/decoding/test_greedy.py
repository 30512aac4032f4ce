import pytest
import torch
from tests.decoding.toys import PrefixDecoder
from torch import Tensor

from showtell.config import DecodingConfig
from showtell.decoding import DecodingError, State, decode
from showtell.text import END, START


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
    config = DecodingConfig(max_length=5, length_penalty=0.7)
    for picture, (caption,) in enumerate(decode(decoder, decoder.start(20), config)):
        summands = decoder.log_probs(caption.tokens, picture)
        assert caption.word_log_probs == pytest.approx(summands, abs=1e-5)
        assert caption.log_prob == pytest.approx(sum(summands), abs=1e-5)
        assert caption.score == pytest.approx(sum(summands) / len(summands) ** 0.7, abs=1e-5)


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
