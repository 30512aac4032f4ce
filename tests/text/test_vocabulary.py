"""Words and tokens."""

from collections import Counter

import pytest

from showtell.text import END, NLTK, SPECIAL_TOKENS, UNK, Vocabulary, build_tokenizer
from showtell.text.vocabulary import vocabulary_fault

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
    assert NLTK.join(words.split()) == text
    assert NLTK.split(text.replace('"', "")) == [word for word in words.split() if word not in ("``", "''")]


def fault(captions: list[str], threshold: int, name: str = "nltk") -> str:
    tokenizer = build_tokenizer(name)
    counts = Counter(word for caption in captions for word in tokenizer.split(caption))
    return vocabulary_fault(counts, threshold, tokenizer) or ""


CHINESE = ["两只狗在雪地里坐着", "两只狗在山顶上游泳", "一名男子在街边跑步"]
THAI = ["สุนัขสองตัวนั่งอยู่ในหิมะ", "ผู้ชายคนหนึ่งกำลังวิ่งอยู่ริมถนน"]


@pytest.mark.parametrize("threshold", [1, 4])
@pytest.mark.parametrize("captions", [CHINESE, THAI, [f"{text}。" for text in CHINESE]])
@pytest.mark.parametrize("name", ["nltk", "words"])
def test_captions_without_blanks_are_told_from_rare_words(name: str, captions: list[str], threshold: int) -> None:
    told = fault(captions, threshold, name)
    assert told.startswith(f"vocab.tokenizer={name} cuts words at blanks, and the training captions have none: '")
    assert told.endswith("is one word; use vocab.tokenizer=characters, or put blanks between the words")


def test_the_remedies_work() -> None:
    assert fault(CHINESE, 1, "characters") == ""
    assert fault(["两只 狗 在 雪地 里 坐着", "一名 男子 在 街边 跑步"], 1) == ""
    english = ["a dog sits there", "a cat sits there", "a dog runs"] * 3
    told = fault([*english, "zebra"], 100)
    assert told == (
        "vocab.threshold=100 keeps 0 of 7 words, and 100% of what the training captions say would become <unk>; "
        "use vocab.threshold=3 (2.9% would)"
    )
    assert fault([*english, "zebra"], 3) == ""
    assert "use vocab.threshold=1 (0.0% would)" in fault(["each word is new"], 2)
