"""Words and their numbers: the one thing that the data side and the model side share besides the configuration.

Captions are lower-cased and cut by nltk's word tokenizer, words that the training captions hold fewer than `threshold`
times become `<unk>`, and three special tokens come first. The order is a pure function of the counts: most frequent
first, ties by the alphabet.

A caption is a sentence, so tokens are those of `nltk.word_tokenize(text, preserve_line=True)`. Captions of plain words,
which is most of them, are cut directly. Why, stands in `docs/decisions/tokens.md`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache

_BLANK_BEFORE = re.compile(r" ([.,!?;:%]|n't|'(?:s|m|re|ve|ll|d))(?= |$)")
_PLAIN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*(?:,? [a-z0-9]+(?:-[a-z0-9]+)*)* ?\.?")
_CONTRACTION = re.compile(r"cannot|gimme|gonna|gotta|lemme|wanna")
START, END, UNK = 0, 1, 2
SPECIAL_TOKENS = ("<start>", "<end>", "<unk>")


class Vocabulary:
    """A list of words that starts with the special tokens; a token is a position in it."""

    def __init__(self, words: Sequence[str]) -> None:
        if tuple(words[:3]) != SPECIAL_TOKENS:
            raise ValueError(f"a vocabulary starts with {' '.join(SPECIAL_TOKENS)}, this one with {list(words[:3])}")
        self.words = list(words)
        self._tokens = {word: token for token, word in enumerate(self.words)}
        if len(self._tokens) != len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise ValueError(f"the vocabulary holds the word {twice!r} twice; remove one")

    @classmethod
    def from_counts(cls, counts: Counter[str], threshold: int) -> "Vocabulary":
        """Keeps the words that were counted at least `threshold` times."""
        kept = [word for word, count in counts.items() if count >= threshold and word not in SPECIAL_TOKENS]
        return cls([*SPECIAL_TOKENS, *sorted(kept, key=lambda word: (-counts[word], word))])

    def __len__(self) -> int:
        return len(self.words)

    def look_up(self, words: Iterable[str]) -> list[int]:
        """The tokens of words; unknown words become `<unk>`."""
        return [self._tokens.get(word, UNK) for word in words]

    def encode(self, words: Iterable[str]) -> list[int]:
        """The tokens of a caption's words, `<end>` last."""
        return [*self.look_up(words), END]

    def decode(self, tokens: Iterable[int]) -> str:
        """The caption that the tokens spell, as text, up to the first `<end>`; special tokens are left out."""
        words = []
        for token in tokens:
            if token == END:
                break
            if token > UNK:
                words.append(self.words[token])
        return as_text(words)


def as_text(words: Sequence[str]) -> str:
    """Words as people write them: no blank before punctuation and contractions; nltk's quotes as quotes.

    Tokenizing the text again gives the same words.
    """
    text = " ".join('"' if word in ("``", "''") else word for word in words)
    return _BLANK_BEFORE.sub(r"\1", text)


@cache
def _tokenizer() -> Callable[[str], list[str]]:
    from nltk.tokenize.destructive import NLTKWordTokenizer  # here: who only reads tokens needs no tokenizer

    return NLTKWordTokenizer().tokenize  # type: ignore[no-any-return]


def tokenize(caption: str) -> list[str]:
    """The words and punctuation marks of a caption, lower-cased."""
    text = caption.lower()
    if _PLAIN.fullmatch(text) and not _CONTRACTION.search(text):
        if text.endswith("."):
            text = f"{text[:-1]} ."
        return text.replace(",", " ,").split()
    return [str(word) for word in _tokenizer()(text)]


def tokenize_all(captions: Iterable[str]) -> list[list[str]]:
    """`tokenize` of each caption in order; some 120,000 captions a second, so one process does."""
    return [tokenize(caption) for caption in captions]
