"""Words and tokens."""

from collections import Counter

import pytest

from showtell.text import END, SPECIAL_TOKENS, UNK, Vocabulary, as_text, tokenize

COUNTS = Counter({"a": 9, "dog": 4, "cat": 4, "zebra": 3, "<end>": 50})


def test_threshold_counts_from_exactly_so_many() -> None:
    assert Vocabulary.from_counts(COUNTS, 4).words == [*SPECIAL_TOKENS, "a", "cat", "dog"]
    assert Vocabulary.from_counts(COUNTS, 5).words == [*SPECIAL_TOKENS, "a"]


def test_round_trip() -> None:
    vocabulary = Vocabulary.from_counts(COUNTS, 3)
    tokens = vocabulary.encode(["a", "zebra"])
    assert tokens[-1] == END and vocabulary.decode([*tokens, 5, 5]) == "a zebra"


def test_unknown_words_become_unk_and_are_never_spelled() -> None:
    vocabulary = Vocabulary.from_counts(COUNTS, 4)
    assert vocabulary.encode(["zebra"]) == [UNK, END]
    assert vocabulary.decode([UNK, 3]) == "a"


def test_a_word_of_a_caption_cannot_pose_as_a_special_token() -> None:
    assert Vocabulary.from_counts(COUNTS, 1).words.count("<end>") == 1


@pytest.mark.parametrize("words", [["a", "b"], [*SPECIAL_TOKENS, "a", "a"]])
def test_what_is_no_vocabulary_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"vocabulary"):
        Vocabulary(words)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("a dog , a cat .", "a dog, a cat."),
        ("the man 's hat is n't red", "the man's hat isn't red"),
        ("a sign says `` stop ''", 'a sign says " stop "'),
        ("it 's 5 o'clock .", "it's 5 o'clock."),
    ],
)
def test_text_is_written_as_people_write(words: str, text: str) -> None:
    assert as_text(words.split()) == text
    assert tokenize(text.replace('"', "")) == [word for word in words.split() if word not in ("``", "''")]
