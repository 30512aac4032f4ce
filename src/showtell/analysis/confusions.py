"""Confusions: the caption says X, which no reference does, where at least half of the references say Y.

Every wrong word of a caption meets every missed one, so two words that are often wrong and often missed meet often by
chance. What chance would make of them is taken off: pairs are ranked by how often they meet beyond it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from nltk.stem.porter import PorterStemmer

from showtell.analysis.material import Ints, Material, Things, by_half

LEAST_PAIRS = 2
_stemmer = PorterStemmer()


@dataclass(frozen=True)
class Confusion:
    """A pair.

    Attributes:
        said: what captions say.
        meant: what people say instead.
        expected: how many pictures would have the pair if wrong words and missed words met by chance.
        pictures: that have it.
    """

    said: str
    meant: str
    expected: float
    pictures: Ints


def confused_words(material: Material) -> list[Confusion]:
    """Of content words; forms of one word (`dog`, `dogs`) are not told apart in English."""
    wrong, missed = [], []
    for tokens, texts, common in zip(material.said, material.people, material.common, strict=True):
        form = _stem if material.tokenizer.is_english else str
        told, said = {form(word) for one in texts for word in one}, {form(word) for word in tokens}
        wrong.append({word for word in material.content(set(tokens)) if form(word) not in told})
        missed.append({word for word in material.content(common) if form(word) not in said})
    return confusions(wrong, missed)


@cache
def _stem(word: str) -> str:
    return str(_stemmer.stem(word))


def confused_things(material: Material, things: Things) -> list[Confusion]:
    """Of things, whatever their words; what a picture is known to show is not wrong."""
    wrong, missed = [], []
    for place, tokens in enumerate(material.said):
        said = {mention.thing for mention in things.lexicon.mentions(tokens)}
        told = [{one.thing for one in things.lexicon.mentions(text)} for text in material.people[place]]
        there = set().union(*told, things.shown[place] if things.shown else ())
        wrong.append(said - there)
        missed.append(by_half(told) - said)
    return confusions(wrong, missed)


def confusions(wrong: Sequence[set[str]], missed: Sequence[set[str]]) -> list[Confusion]:
    """The pairs of at least `LEAST_PAIRS` pictures that meet more often than by chance.

    Args:
        wrong: what the caption of each picture says wrongly.
        missed: what it should have said.
    """
    places: dict[tuple[str, str], list[int]] = {}
    for place, pair in enumerate(zip(wrong, missed, strict=True)):
        for both in product(*pair):
            places.setdefault(both, []).append(place)
    said, meant = (Counter(word for some in one for word in some) for one in (wrong, missed))
    found = [
        Confusion(x, y, said[x] * meant[y] / max(1, len(wrong)), np.array(some, np.int64))
        for (x, y), some in places.items()
        if len(some) >= LEAST_PAIRS
    ]
    told = [one for one in found if len(one.pictures) > one.expected]
    return sorted(told, key=lambda one: (one.expected - len(one.pictures), one.said, one.meant))
