"""What an analysis is about: one caption per picture, what people said, and whatever else is known of the pictures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showtell.evaluation.diversity import LIGHT_WORDS
from showtell.evaluation.ptb import scored_tokens
from showtell.evaluation.sums import Sums
from showtell.evaluation.things import Lexicon
from showtell.text import NLTK, Tokenizer

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Things:
    """What tells which things captions name, and which of them there are.

    Attributes:
        lexicon: the words for things.
        shown: the things in each picture, as annotators marked them or a generator drew them; None: references alone.
        source: which of these it is, for people.
    """

    lexicon: Lexicon
    shown: Sequence[frozenset[str]] | None
    source: str


@dataclass(frozen=True)
class Neighbours:
    """The nearest training picture of each picture.

    Attributes:
        similarity: `(P,)` cosine of the average-pooled features.
        names: of the training pictures, `(P,)`.
        captions: what people said about them.
        paths: of their files; empty: not known.
    """

    similarity: Floats
    names: Sequence[str]
    captions: Sequence[Sequence[str]]
    paths: Sequence[Path] = ()


@dataclass(frozen=True)
class Material:
    """What is analysed; P pictures, in one order throughout.

    Attributes:
        system: whose captions these are.
        subject: which pictures, in words.
        names: of the pictures.
        captions: one per picture, as text.
        references: what people said about it, at least one each.
        cider: `(P,)`.
        sums: of which scores and their intervals follow.
        signature: of the scores.
        tokenizer: whose words are compared.
        things: None where no lexicon is at hand.
        training: how often each word occurs in the training captions; None: not known.
        neighbours: None: not known.
        paths: of the picture files; empty: not known.
        notes: what the reader must know.
    """

    system: str
    subject: str
    names: Sequence[str]
    captions: Sequence[str]
    references: Sequence[Sequence[str]]
    cider: Floats
    sums: Sequence[Sums]
    signature: str = ""
    tokenizer: Tokenizer = NLTK
    things: Things | None = None
    training: Mapping[str, int] | None = None
    neighbours: Neighbours | None = None
    paths: Sequence[Path] = ()
    notes: Sequence[str] = field(default_factory=list)

    @cached_property
    def said(self) -> list[list[str]]:
        """The tokens of each caption."""
        return [scored_tokens(text, self.tokenizer) for text in self.captions]

    @cached_property
    def people(self) -> list[list[list[str]]]:
        """The tokens of each reference of each picture."""
        return [[scored_tokens(text, self.tokenizer) for text in texts] for texts in self.references]

    @cached_property
    def reference_counts(self) -> Counter[str]:
        """How often each word occurs in the references."""
        return Counter(word for texts in self.people for tokens in texts for word in tokens)

    @cached_property
    def common(self) -> list[set[str]]:
        """The words that at least half of a picture's references use."""
        return [by_half([set(tokens) for tokens in texts]) for texts in self.people]

    def content(self, words: set[str]) -> set[str]:
        """Those that mean something: no articles, prepositions, pronouns."""
        return words - LIGHT_WORDS if self.tokenizer.is_english else words


def by_half(told: Sequence[set[str]]) -> set[str]:
    """What at least half of some people name."""
    counts = Counter(word for one in told for word in one)
    return {word for word, count in counts.items() if 2 * count >= len(told)}


def word_counts(captions: Sequence[str], tokenizer: Tokenizer) -> Counter[str]:
    """How often each word occurs in captions, in the form in which captions are compared."""
    return Counter(word for text in captions for word in scored_tokens(text, tokenizer))
