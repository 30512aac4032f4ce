"""What a metric is: built once from the references, then asked what candidates are worth.

class Length(Metric):
names = {"length": "words per word"}

def __init__(self, references):
self.mean = references.captions.lengths.mean()

def score(self, candidates):
return of_pictures("length", candidates.captions.lengths / self.mean)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from showtell.evaluation.ngrams import Captions, Ints, NgramIndex
from showtell.evaluation.ptb import scored_tokens
from showtell.evaluation.sums import Sums, mean
from showtell.text import NLTK, Tokenizer


class UnavailableError(Exception):
    """Why a metric gives no score on this machine, as one line."""


CLIP_MODEL = "ViT-B-32-quickgelu/openai"


@dataclass(frozen=True)
class Pictures:
    """What a metric sees of the pictures.

    Attributes:
        load: from a picture's id to its `(H, W, 3)` pixels, uint8.
        model: the network that looks at them: NAME/WEIGHTS, or a folder.
    """

    load: Callable[[int], NDArray[np.uint8]]
    model: str = CLIP_MODEL


class References:
    """What people said about P pictures, tokenized and counted once; all metrics of a corpus share it.

    Attributes:
        picture_ids: ascending; the order of everything else.
        texts: the captions as they were written, by picture id.
        index: numbers words and n-grams.
        captions: all captions as numbers.
        first: `(P + 1,)`; picture `p` has captions `first[p]` to `first[p + 1] - 1`.
        tokenizer: of the model; `scored_tokens` says what is made of it.
        pictures: for metrics that look at them; None where they are not at hand.
    """

    def __init__(
        self,
        texts: Mapping[int, Sequence[str]],
        picture_ids: Sequence[int],
        first: Ints,
        tokenizer: Tokenizer = NLTK,
        pictures: Pictures | None = None,
    ) -> None:
        self.picture_ids = picture_ids
        self.texts = texts
        self.first = first
        self.tokenizer = tokenizer
        self.pictures = pictures
        self.index = NgramIndex([self.tokens(text) for picture in picture_ids for text in texts[picture]])

    def tokens(self, caption: str) -> list[str]:
        """What is compared of a caption."""
        return scored_tokens(caption, self.tokenizer)

    @property
    def captions(self) -> Captions:
        """All captions as numbers."""
        return self.index.captions

    @property
    def owners(self) -> Ints:
        """The picture that each caption belongs to, by its place."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))

    @cached_property
    def tokenized(self) -> list[list[str]]:
        """Each picture's captions as tokens with blanks between them."""
        return [[" ".join(self.tokens(text)) for text in self.texts[picture]] for picture in self.picture_ids]


@dataclass(frozen=True)
class Candidates:
    """One caption per picture, in the pictures' order: its tokens, all as numbers, and as they were said."""

    tokens: Sequence[Sequence[str]]
    captions: Captions
    texts: Sequence[str]


@dataclass(frozen=True)
class MetricScores:
    """The scores of the corpus by name.

    Where a metric has them also the `(P,)` scores of each picture, and what corpus scores are sums of: scores without
    sums have no interval.
    """

    corpus: Mapping[str, float]
    pictures: Mapping[str, NDArray[Any]]
    sums: Sums | None = None


def of_pictures(name: str, scores: NDArray[Any]) -> MetricScores:
    """What a metric gives whose corpus score is the mean over pictures."""
    sums = Sums([name], np.column_stack([scores, np.ones(len(scores))]), mean)
    return MetricScores({name: float(scores.mean())}, {name: scores}, sums)


class Metric(ABC):
    """A metric, built with `References`.

    Attributes:
        names: of its scores, and how tables call them.
        smaller_is_better: those of its scores that a run which monitors them makes small.
        looks_at_pictures: whether it needs `references.pictures`.
    """

    names: ClassVar[Mapping[str, str]]
    smaller_is_better: ClassVar[Collection[str]] = ()
    looks_at_pictures: ClassVar[bool] = False

    def __init__(self, references: References) -> None:
        self.references = references

    @abstractmethod
    def score(self, candidates: Candidates) -> MetricScores:
        """What candidates are worth.

        Raises:
            UnavailableError: that cannot be told here.
        """
