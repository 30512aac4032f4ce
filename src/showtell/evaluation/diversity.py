"""How varied captions are: what reviewers ask once the scores are in.

A captioner can reach a good CIDEr with a few safe sentences, so these figures stand beside the scores. They
need no references, only, for the share of new captions, those of the training split. Captions are compared
as the tokens that metrics compare, so case and punctuation make no caption new. What is good is what people do:
measure a human caption of each picture for comparison.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass
from itertools import pairwise

from showtell.evaluation.ptb import scored_tokens
from showtell.text import NLTK, Tokenizer

# a caption that stops here was cut off: determiners, possessives, prepositions, conjunctions, "to be";
# words that also end a sentence well (that, her, it, over, up, down, outside, ...) are left out
_ENDING_WORDS = (
    "a an the his their its my your our this these those some any each every "
    "of at by for from with without into onto to in on as than between among toward towards upon beside near "
    "and or but nor while because if is are was were be been being has have"
)
ENDING_WORDS = frozenset(_ENDING_WORDS.split())
# further words that may stand twice in a good caption
_LIGHT_WORDS = "it they them he she him her that who which there one two not 's over up next side"
LIGHT_WORDS = ENDING_WORDS | frozenset(_LIGHT_WORDS.split())

Tokens = tuple[str, ...]
MEANINGS = {
    "distinct": "the share of different captions; 1 where every picture has its own",
    "novel": "the share of captions that no training picture has word for word",
    "vocabulary": "how many different words the captions use",
    "mean_length": "words per caption",
    "repeated_words": "the share of captions that repeat a word which should not come twice",
    "bad_endings": "the share of captions that end in `a`, `of`, `and` and the like: they were cut off",
}
"""What the figures mean that a validation logs, in words."""


@dataclass(frozen=True)
class CaptionVariety:
    """Figures of a set of captions; shares are fractions of the captions.

    Attributes:
        captions: how many captions were measured.
        distinct: how many different ones there are among them.
        novel: share that the training captions do not hold word for word; None without training captions.
        vocabulary: how many different words are used.
        mean_length: words per caption, punctuation not counted.
        repeated_words: share with any word twice in a row, or with a content word (no article, preposition,
            pronoun ...) twice; None for captions that are not English, as `LIGHT_WORDS` are.
        bad_endings: share whose last word is one of `ENDING_WORDS`, or that are empty; None likewise.
    """

    captions: int
    distinct: int
    novel: float | None
    vocabulary: int
    mean_length: float
    repeated_words: float | None
    bad_endings: float | None


def caption_forms(captions: Iterable[str], tokenizer: Tokenizer = NLTK) -> frozenset[Tokens]:
    """The captions in the form in which they are compared; make it once from the training split."""
    return frozenset(tuple(scored_tokens(caption, tokenizer)) for caption in captions)


def caption_variety(
    captions: Iterable[str], training: Set[Tokens] | None = None, tokenizer: Tokenizer = NLTK
) -> CaptionVariety:
    """Measures captions, against the training split's `caption_forms` if given.

    Raises:
        ValueError: there are no captions.
    """
    forms = [tuple(scored_tokens(caption, tokenizer)) for caption in captions]
    if not forms:
        raise ValueError("there are no captions to measure; caption at least one picture")
    english = tokenizer.is_english
    return CaptionVariety(
        captions=len(forms),
        distinct=len(set(forms)),
        novel=None if training is None else _share(form not in training for form in forms),
        vocabulary=len({word for form in forms for word in form}),
        mean_length=sum(map(len, forms)) / len(forms),
        repeated_words=_share(map(repeats_a_word, forms)) if english else None,
        bad_endings=_share(not form or form[-1] in ENDING_WORDS for form in forms) if english else None,
    )


def repeats_a_word(words: Tokens) -> bool:
    """Whether any word stands twice in a row, or a content word twice at all."""
    content = [word for word in words if word not in LIGHT_WORDS]
    return len(set(content)) < len(content) or any(a == b for a, b in pairwise(words))


def _share(flags: Iterable[bool]) -> float:
    marks = list(flags)
    return sum(marks) / len(marks)
