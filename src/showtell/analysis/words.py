"""Words that captions say too often, and words that people use and captions never do."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from showtell.analysis.material import Ints, Material

PRIOR_WORDS = 500
"""The weight of the prior, in words: what is seen less often than this counts little."""
CHANCE = 1.96
LEAST_PICTURES = 3


@dataclass(frozen=True)
class Overused:
    """A word that captions say more often than people.

    Attributes:
        word: the word.
        said: how often the captions say it.
        rate: per 1,000 words of the captions.
        people: per 1,000 words of the references.
        z: log-odds over their standard error.
        pictures: whose captions say it and none of whose references does.
    """

    word: str
    said: int
    rate: float
    people: float
    z: float
    pictures: Ints


@dataclass(frozen=True)
class Unsaid:
    """A word that at least half of the references of some pictures use, and no caption; `training`: how often there."""

    word: str
    pictures: Ints
    training: int | None


def overused(material: Material) -> list[Overused]:
    """Words by log-odds with an informative Dirichlet prior (Monroe et al., 2008), the most overused first.

    The prior is the rate in captions and references together; words that chance explains (z below 1.96) are left out.
    """
    said, people = Counter(word for tokens in material.said for word in tokens), material.reference_counts
    words = list(said)
    ours, theirs = (np.array([counts[word] for word in words], np.float64) for counts in (said, people))
    all_ours, all_theirs = max(1, said.total()), max(1, people.total())
    prior = PRIOR_WORDS * (ours + theirs) / (all_ours + all_theirs)
    odds = [
        np.log((counts + prior) / np.maximum(total + PRIOR_WORDS - counts - prior, 1e-9))
        for counts, total in ((ours, all_ours), (theirs, all_theirs))
    ]
    z = (odds[0] - odds[1]) / np.sqrt(1 / (ours + prior) + 1 / (theirs + prior))
    places = [place for place in np.argsort(-z, kind="stable").tolist() if z[place] >= CHANCE]
    alone = _places_of(
        [
            set(tokens) - {word for one in texts for word in one}
            for tokens, texts in zip(material.said, material.people, strict=True)
        ]
    )
    return [
        Overused(
            words[place], int(ours[place]), 1000 * ours[place] / all_ours, 1000 * theirs[place] / all_theirs,
            float(z[place]), alone.get(words[place], np.array([], np.int64)),
        )
        for place in places
    ]  # fmt: skip


def unsaid(material: Material) -> list[Unsaid]:
    """Words of at least `LEAST_PICTURES` pictures, those of most pictures first."""
    said = {word for tokens in material.said for word in tokens}
    missing = _places_of([words - said for words in material.common])
    counts = material.training
    found = [
        Unsaid(word, places, None if counts is None else counts.get(word, 0))
        for word, places in missing.items()
        if len(places) >= LEAST_PICTURES
    ]
    return sorted(found, key=lambda one: (-len(one.pictures), one.word))


def _places_of(words: Sequence[set[str]]) -> dict[str, Ints]:
    """Where each word stands."""
    found: dict[str, list[int]] = {}
    for place, some in enumerate(words):
        for word in some:
            found.setdefault(word, []).append(place)
    return {word: np.array(places, np.int64) for word, places in found.items()}
