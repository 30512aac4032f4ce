import pytest
import torch
from tests.decoding.toys import PrefixDecoder
from torch import Tensor

from showtell.config import DecodingConfig
from showtell.decoding import Hypothesis, State, decode
from showtell.decoding.beam import beam_search, best

PENALTIES = (0.0, 0.7, 1.0, 2.0)


def beam(size: int, **settings: float) -> DecodingConfig:
    return DecodingConfig(**{"method": "beam", "beam_size": size, "max_length": 8, **settings})


def same(some: list[list[Hypothesis]], others: list[list[Hypothesis]]) -> None:
    assert [[h.tokens for h in several] for several in some] == [[h.tokens for h in several] for several in others]
    pairs = [pair for a, b in zip(some, others, strict=True) for pair in zip(a, b, strict=True)]
    for one, other in pairs:
        assert one.word_log_probs == pytest.approx(other.word_log_probs, abs=1e-5)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("min_length", [1, 4])
@pytest.mark.parametrize("block_ngram", [0, 2])
def test_beam_1_is_greedy(penalty: float, min_length: int, block_ngram: int) -> None:
    decoder = PrefixDecoder(vocabulary=15, end_bonus=1.5)
    settings = {"min_length": min_length, "block_ngram": block_ngram, "max_length": 8}
    greedy = decode(decoder, decoder.start(60), DecodingConfig(**settings))
    same(decode(decoder, decoder.start(60), beam(1, length_penalty=penalty, **settings)), greedy)


def test_beam_1_is_greedy_where_words_tie() -> None:
    decoder = PrefixDecoder(vocabulary=400)
    decoder.table = decoder.table.round()
    greedy = decode(decoder, decoder.start(60), DecodingConfig(max_length=8))
    same(decode(decoder, decoder.start(60), beam(1)), greedy)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("min_length", [1, 2])
def test_a_wide_beam_is_exhaustive_search(penalty: float, min_length: int) -> None:
    decoder = PrefixDecoder(vocabulary=6, seed=3)
    config = beam(27 + 9 + 3, length_penalty=penalty, min_length=min_length, max_length=3, num_captions=36)
    for picture, captions in enumerate(decode(decoder, decoder.start(3), config)):
        expected = decoder.exhaustive(picture, config)[:36]
        assert [caption.tokens for caption in captions] == expected
        assert [caption.score for caption in captions] == pytest.approx(
            [decoder.score(tokens, picture, config) for tokens in expected], abs=1e-5
        )


def test_a_wider_beam_than_captions_finds_them_all_once() -> None:
    decoder = PrefixDecoder(vocabulary=5)
    (captions,) = decode(decoder, decoder.start(1), beam(100, max_length=2, num_captions=100))
    assert sorted(caption.tokens for caption in captions) == [(3,), (3, 3), (3, 4), (4,), (4, 3), (4, 4)]


@pytest.mark.parametrize(
    "settings", [{}, {"num_captions": 5}, {"groups": 5, "num_captions": 5}, {"block_ngram": 2, "length_penalty": 2.0}]
)
def test_a_batch_gives_what_its_pictures_give_one_by_one(settings: dict[str, float]) -> None:
    decoder, config = PrefixDecoder(vocabulary=400, end_bonus=3.0), beam(5, **settings)
    state = decoder.start(40)
    alone = [decode(decoder, tuple(t[i : i + 1] for t in state), config)[0] for i in range(40)]
    same(decode(decoder, state, config), alone)


def test_a_batch_breaks_ties_as_its_pictures_do() -> None:
    decoder, config = PrefixDecoder(vocabulary=400, end_bonus=1.0), beam(5, num_captions=5)
    decoder.table = decoder.table.round()
    state = decoder.start(40)
    alone = [decode(decoder, tuple(t[i : i + 1] for t in state), config)[0] for i in range(40)]
    same(decode(decoder, state, config), alone)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("settings", [{}, {"num_captions": 4}, {"groups": 2, "num_captions": 2}])
def test_stopping_early_changes_nothing(penalty: float, settings: dict[str, float]) -> None:
    decoder, config = PrefixDecoder(vocabulary=10, end_bonus=0.5), beam(4, length_penalty=penalty, **settings)
    early = beam_search(decoder, decoder.start(200), config)
    rows, decoder.rows = decoder.rows, 0
    assert early == beam_search(decoder, decoder.start(200), config, early_stop=False)
    # under a strong reward for length nearly any live beam could still win
    assert rows < decoder.rows or penalty == 2.0


def test_a_live_beam_may_overtake_a_finished_caption() -> None:
    # <end> is likelier than going on, but what follows is certain, so the mean per word is better in the end
    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        length = int(state[0][0])
        logits = torch.full((len(tokens), 5), -20.0)
        logits[:, 3] = 0.0
        logits[:, 1] = {1: 0.5, 6: 20.0}.get(length, -20.0)
        return logits, (state[0] + 1,)

    (captions,) = decode(step, (torch.zeros(1),), beam(2, max_length=6, length_penalty=2.0, min_length=1))
    assert captions[0].tokens == (3,) * 6
    (captions,) = decode(step, (torch.zeros(1),), beam(2, max_length=6, length_penalty=0.0, min_length=1))
    assert captions[0].tokens == (3,)


def test_log_probabilities_are_the_decoders() -> None:
    decoder, config = PrefixDecoder(vocabulary=30), beam(6, groups=3, num_captions=6, block_ngram=2)
    for picture, captions in enumerate(decode(decoder, decoder.start(10), config)):
        for caption in captions:
            summands = decoder.log_probs(caption.tokens, picture)
            assert caption.word_log_probs == pytest.approx(summands, abs=1e-5)
            assert caption.score == pytest.approx(decoder.score(caption.tokens, picture, config), abs=1e-5)


def test_lists_are_sorted_and_without_doubles() -> None:
    decoder = PrefixDecoder(vocabulary=30, end_bonus=1.0)
    for captions in decode(decoder, decoder.start(30), beam(6, num_captions=6)):
        assert len({caption.tokens for caption in captions}) == 6
        assert [c.score for c in captions] == sorted((c.score for c in captions), reverse=True)


def test_lengths_are_kept() -> None:
    decoder = PrefixDecoder(vocabulary=30, end_bonus=2.0)
    lists = decode(decoder, decoder.start(30), beam(4, min_length=3, max_length=5, num_captions=4))
    assert {len(caption.tokens) for captions in lists for caption in captions} == {3, 4, 5}


def test_no_run_of_words_comes_twice() -> None:
    decoder = PrefixDecoder(vocabulary=6)
    lists = decode(decoder, decoder.start(30), beam(4, max_length=12, min_length=8, block_ngram=2, num_captions=4))
    for caption in (caption for captions in lists for caption in captions):
        pairs = list(zip(caption.tokens, caption.tokens[1:], strict=False))
        assert len(set(pairs)) == len(pairs)


def test_a_caption_that_runs_out_of_words_ends_early() -> None:
    decoder = PrefixDecoder(vocabulary=5)
    lists = decode(decoder, decoder.start(10), beam(4, min_length=6, block_ngram=1, num_captions=2))
    assert {caption.tokens for captions in lists for caption in captions} == {(3, 4), (4, 3)}


def test_only_words_come_out_even_if_the_decoder_wants_none() -> None:
    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        logits = torch.full((len(tokens), 6), float("-inf"))
        logits[:, 2] = 0.0
        return logits, state

    for config in (DecodingConfig(), beam(3, num_captions=3), DecodingConfig(method="sample")):
        for caption in decode(step, (torch.zeros(1, 1),), config)[0]:
            assert set(caption.tokens) <= {3, 4, 5}
            assert caption.tokens
            assert caption.log_prob > float("-inf")


def test_each_group_is_the_beam_search_of_a_decoder_with_handicaps() -> None:
    # two groups of one beam: the second is greedy decoding in which the first one's word of the step loses 1.5
    decoder, config = PrefixDecoder(vocabulary=12), beam(2, groups=2, diversity=1.5, num_captions=2, min_length=8)
    for picture, captions in enumerate(decode(decoder, decoder.start(20), config)):
        state = tuple(t[picture : picture + 1] for t in decoder.start(picture + 1))
        first, second, states, last = [], [], [state, state], [0, 0]
        for _ in range(8):
            one, states[0] = decoder(torch.tensor([last[0]]), states[0])
            two, states[1] = decoder(torch.tensor([last[1]]), states[1])
            first.append(int(one[0, 3:].argmax()) + 3)
            two[0, first[-1]] -= 1.5
            second.append(int(two[0, 3:].argmax()) + 3)
            last = [first[-1], second[-1]]
        assert {caption.tokens for caption in captions} == {tuple(first), tuple(second)}


def test_groups_tell_pictures_apart_more_than_beams() -> None:
    decoder = PrefixDecoder(vocabulary=30, spread=1.0)

    def first_words(config: DecodingConfig) -> int:
        lists = decode(decoder, decoder.start(30), config)
        return sum(len({caption.tokens[0] for caption in captions}) for captions in lists)

    wide = first_words(beam(4, num_captions=4))
    assert first_words(beam(4, num_captions=4, groups=4, diversity=20.0)) == 4 * 30 > wide


def test_what_two_groups_find_is_listed_once() -> None:
    decoder = PrefixDecoder(vocabulary=30)
    alone = decode(decoder, decoder.start(9), beam(1))
    assert decode(decoder, decoder.start(9), beam(3, groups=3, diversity=0.0, num_captions=3)) == alone


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_taken(dtype: torch.dtype) -> None:
    decoder = PrefixDecoder(vocabulary=400)
    decoder.table = decoder.table.to(dtype)
    rounded = PrefixDecoder(vocabulary=400)
    rounded.table = decoder.table.float()
    assert decode(decoder, decoder.start(9), beam(4)) == decode(rounded, rounded.start(9), beam(4))


def reference(values: torch.Tensor, count: int) -> torch.Tensor:
    """By Python's sort: value descending, index ascending."""
    rows = [sorted(range(len(row)), key=lambda i: (-row[i], i))[:count] for row in values.tolist()]
    return torch.tensor(rows)


@pytest.mark.parametrize("size", [1, 7, 319, 320, 321, 700, 1000])
def test_best_of_distinct_values(size: int) -> None:
    values = torch.randn(20, size, generator=torch.Generator().manual_seed(size))
    found, indices = best(values, 5)
    assert torch.equal(indices, reference(values, 5))
    assert torch.equal(found, values.gather(1, indices))


@pytest.mark.parametrize("levels", [1, 2, 5, 50])
def test_ties_go_to_the_lower_index(levels: int) -> None:
    generator = torch.Generator().manual_seed(levels)
    values = torch.randint(-levels, levels, (50, 500), generator=generator).float()
    assert torch.equal(best(values, 4)[1], reference(values, 4))


def test_signs_zeros_and_infinities_are_in_order() -> None:
    infinity = float("inf")
    values = torch.tensor([[-0.0, 0.0, -1e-42, 1e-42, -infinity, infinity, -3e38, 3e38, -0.0]])
    assert best(values, 9)[1].tolist() == reference(values, 9).tolist()


def test_a_row_of_forbidden_words_keeps_its_order() -> None:
    assert best(torch.full((1, 500), float("-inf")), 3)[1].tolist() == [[0, 1, 2]]
