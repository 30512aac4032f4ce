import pytest
import torch
from tests.decoding.toys import PrefixDecoder

from showtell.config import DecodingConfig
from showtell.decoding import DecodingError, decode, ensemble_step
from showtell.text import START


def test_probabilities_are_averaged() -> None:
    decoders = [PrefixDecoder(vocabulary=9, seed=seed) for seed in range(3)]
    step, state = ensemble_step(decoders, [decoder.start(4) for decoder in decoders])
    tokens = torch.full((4,), START)
    for _ in range(3):
        logits, state = step(tokens, state)
        tokens = torch.full((4,), 5)
    expected = []
    for decoder in decoders:
        own = decoder.start(4)
        for token in (START, 5, 5):
            answer, own = decoder(torch.full((4,), token), own)
        expected.append(answer.softmax(1))
    assert torch.allclose(logits.softmax(1), torch.stack(expected).mean(0), atol=1e-6)


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_twice_the_same_decoder_is_that_decoder(method: str) -> None:
    decoder = PrefixDecoder(vocabulary=15, end_bonus=1.0)
    config = DecodingConfig(method=method, max_length=6, beam_size=3 if method == "beam" else 1)
    step, state = ensemble_step([decoder, decoder], [decoder.start(10), decoder.start(10)])
    pairs = zip(decode(step, state, config), decode(decoder, decoder.start(10), config), strict=True)
    for (both,), (alone,) in pairs:
        assert both.tokens == alone.tokens
        assert both.word_log_probs == pytest.approx(alone.word_log_probs, abs=1e-5)


def test_other_vocabularies_are_refused() -> None:
    decoders = [PrefixDecoder(vocabulary=9), PrefixDecoder(vocabulary=10)]
    step, state = ensemble_step(decoders, [decoder.start(2) for decoder in decoders])
    with pytest.raises(DecodingError, match=r"\[9, 10\]"):
        decode(step, state, DecodingConfig())
