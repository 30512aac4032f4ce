"""Which pictures the gallery shows, and the words of their captions."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from showtell.decoding import Hypothesis
from showtell.prediction.captioner import Captioned
from showtell.prediction.outputs import captions_of, choose
from showtell.text import NLTK, build_tokenizer


def test_a_small_set_is_shown_whole() -> None:
    assert choose([0.3, None], 2) == ([0, 1], "")


def test_of_a_large_set_the_worst_the_best_and_some_between() -> None:
    scores = [(7 * i) % 100 / 10 for i in range(100)]
    chosen, sentence = choose(scores, 31)
    shown = sorted(scores[place] for place in chosen)
    assert len(set(chosen)) == 31
    assert shown[:10] == sorted(scores)[:10] and shown[-10:] == sorted(scores)[-10:]
    assert min(b - a for a, b in pairwise(shown[10:21])) > 0.5
    assert sentence.startswith("31 of 100 pictures are shown: by CIDEr the 10 worst, the 10 best, and 11 evenly")


def test_without_scores_the_choice_is_even() -> None:
    assert choose([None] * 10, 5) == ([0, 2, 4, 6, 8], "5 of 10 pictures are shown, chosen evenly.")


def test_one_picture_can_be_asked_for() -> None:
    assert len(choose([0.1, 0.2, 0.3], 1)[0]) == 1


def test_characters_stand_without_blanks() -> None:
    found = Hypothesis((5, 6), -3.0, (-1.0, -1.0, -1.0), -1.0)
    captioned = Captioned(Path("a.jpg"), ("a dog",), (found,), (("a", "dog"),))
    for words, glued in {("一", "只"): True, ("a", "dog"): False}.items():
        (caption,) = captions_of(replace(captioned, words=(words,)), build_tokenizer("characters"))
        assert (caption.words[1].text, caption.words[1].glued) == (words[1], glued)


def test_words_get_their_probabilities_and_the_end_its_own() -> None:
    found = Hypothesis((5, 6), -3.0, (math.log(0.5), math.log(0.2), math.log(0.9)), -1.0)
    (caption,) = captions_of(Captioned(Path("a.jpg"), ("cat.",), (found,), (("cat", "."),)), NLTK)
    assert [word.glued for word in caption.words] == [True, True]  # nothing stands before the first
    assert [(word.text, round(word.p, 6)) for word in caption.words] == [("cat", 0.5), (".", 0.2)]
    assert round(caption.end or 0, 6) == 0.9
