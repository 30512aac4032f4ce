import pytest
import torch

from showtell.config import DecodingConfig
from showtell.decoding.constraints import allowed_logits
from showtell.decoding.hypothesis import DecodingError
from showtell.text import END, START, UNK


def forbidden(history: list[int], vocabulary: int = 8, **settings: int) -> set[int]:
    logits = torch.zeros(1, vocabulary)
    allowed = allowed_logits(logits, torch.tensor([history], dtype=torch.int64), DecodingConfig(**settings))
    return set((allowed[0] == float("-inf")).nonzero().flatten().tolist())


def test_start_and_unknown_are_never_allowed() -> None:
    assert forbidden([3, 4]) == {START, UNK}


def test_end_waits_for_min_length() -> None:
    assert forbidden([3, 4], min_length=3) == {START, UNK, END}
    assert forbidden([3, 4, 5], min_length=3) == {START, UNK}


def test_only_end_follows_max_length() -> None:
    assert forbidden([3, 4], max_length=2) == {0, 2, 3, 4, 5, 6, 7}


def test_a_repeated_word_is_blocked() -> None:
    assert forbidden([3, 4, 3], block_ngram=1) == {START, UNK, 3, 4}


def test_a_repeated_pair_is_blocked() -> None:
    # after "3 4 3" a 4 would repeat the pair 3 4
    assert forbidden([3, 4, 3], block_ngram=2) == {START, UNK, 4}
    assert forbidden([3, 4, 5], block_ngram=2) == {START, UNK}


def test_every_continuation_of_a_repeated_run_is_blocked() -> None:
    assert forbidden([3, 4, 5, 3, 4, 6, 3, 4], block_ngram=3) == {START, UNK, 5, 6}


def test_a_run_that_overlaps_itself_is_blocked() -> None:
    assert forbidden([3, 3, 3], block_ngram=3) == {START, UNK, 3}
    assert forbidden([3, 3], block_ngram=3) == {START, UNK}


def test_rows_are_blocked_by_their_own_words() -> None:
    history = torch.tensor([[3, 4], [5, 6]])
    allowed = allowed_logits(torch.zeros(2, 8), history, DecodingConfig(block_ngram=1))
    assert (allowed[:, 3:] == float("-inf")).int().tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 1, 0]]


def test_end_is_allowed_early_when_no_word_is_left() -> None:
    assert forbidden([3, 4], vocabulary=5, block_ngram=1, min_length=5) == {START, UNK, 3, 4}


def test_a_word_that_the_decoder_rules_out_stays_a_last_resort() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0, float("-inf")]])
    allowed = allowed_logits(logits, torch.zeros(1, 0, dtype=torch.int64), DecodingConfig())
    assert allowed.argmax() == 3
    assert torch.isfinite(allowed[0, 3])


def test_the_decoders_logits_stay_as_they_are() -> None:
    logits = torch.zeros(1, 8)
    allowed_logits(logits, torch.tensor([[3]]), DecodingConfig(block_ngram=1))
    assert (logits == 0).all()


def test_a_vocabulary_without_words_is_refused() -> None:
    with pytest.raises(DecodingError, match="threshold"):
        forbidden([], vocabulary=3)
