"""Tokens equal nltk's, whichever way a caption takes."""

import json
import random

import pytest
from nltk import word_tokenize

from showtell.text import NLTK

PIECES = [
    "a", "man", "cannot", "gonna", "5", "t.v.", "e-mail", "it's", ".", ",", "-", "11:44", "1,000", "x,", "y.",
    "don't", "..", "%", "4-5", "a--b", "'tis", "d'ye", "more'n", "'", '"', "(", "]", "&", "é", "\U0001f600",
    "?", "!", "A", "wanna-be", "cannot.",
]  # fmt: skip


def test_random_captions_equal_nltk():
    generator = random.Random(0)
    for _ in range(5000):
        count = generator.randint(1, 6)
        caption = "".join(generator.choice(PIECES) + generator.choice([" ", "", " ", ", "]) for _ in range(count))
        assert NLTK.split(caption) == word_tokenize(caption.lower(), preserve_line=True), caption


def test_real_captions_equal_nltk(shared_data):
    file = shared_data / "coco_captions_val2017.json"
    if not file.is_file():
        pytest.skip("the captions are not here")
    captions = [annotation["caption"] for annotation in json.loads(file.read_text())["annotations"]]
    unusual = [c for c in captions if set(c.strip()) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .")]
    for caption in unusual + captions[::50]:
        assert NLTK.split(caption) == word_tokenize(caption.lower(), preserve_line=True), caption


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("", []),
        ("A dog.", ["a", "dog", "."]),
        ("Two dogs, one cat", ["two", "dogs", ",", "one", "cat"]),
        ("It's a t.v. set.", ["it", "'s", "a", "t.v.", "set", "."]),
        ("a red motorcycle. The end.", ["a", "red", "motorcycle.", "the", "end", "."]),
    ],
)
def test_tokens(caption, tokens):
    assert NLTK.split(caption) == tokens
