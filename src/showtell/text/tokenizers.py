"""How a caption is cut into words, and words are joined to a caption: `vocab.tokenizer`, a part by name.

`nltk` is for English. A caption is a sentence, so its tokens are those of `nltk.word_tokenize(text,
preserve_line=True)`; captions of plain words, which is most of them, are cut directly (`docs/decisions/tokens.md`).
`words` is for any language that is written with blanks: letters with their marks, numbers, and punctuation marks.
`characters` is for languages that are not: what people see as one character is a token, in the scripts that put no
blanks between words; other words and numbers stay whole.

All of them lower the letters' case, and `split(join(words)) == words` for words that `split` gave.
"""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Any

from showtell.config.registry import find


class Tokenizer(ABC):
    """Cuts captions and joins what it cut.

    Attributes:
        name: how a configuration calls it.
        version: changes where the same caption may be cut another way; tokens are cached under it.
        is_english: whether it is for English: then metrics follow the Penn Treebank's rules, else this tokenizer.
        content: what of it was learnt, for checkpoints; empty where its name says all.
    """

    name: str = ""
    version: str = ""
    is_english: bool = False
    content: str = ""

    @abstractmethod
    def split(self, caption: str) -> list[str]:
        """The words and punctuation marks of a caption; no line breaks in them."""

    def touch(self, left: str, right: str) -> bool:
        """Whether no blank stands between two words."""
        return False

    def pieces(self, words: Sequence[str]) -> list[str]:
        """The words as a text shows them, each with the blank before it where there is one."""
        befores = ["", *words[:-1]]
        return [
            word if place == 0 or self.touch(befores[place], word) else f" {word}" for place, word in enumerate(words)
        ]

    def join(self, words: Sequence[str]) -> str:
        """The words as people write them."""
        return "".join(self.pieces(words))

    @property
    def key(self) -> str:
        """What tokens follow from besides their captions."""
        return f"{self.name} {self.version}"

    @property
    def of_words(self) -> "Tokenizer":
        """The tokenizer of what people call words, which scores compare; another one where this cuts words further."""
        return self

    def kept(self, counts: Counter[str], threshold: int) -> list[str]:
        """The tokens of a vocabulary, by their counts in the training captions: those that occur often enough."""
        found = [word for word, count in counts.items() if count >= threshold]
        return sorted(found, key=lambda word: (-counts[word], word))

    def shortened(self, tokens: Sequence[str], most: int) -> Sequence[str]:
        """The first so many words of a caption."""
        return tokens[:most]


def build_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of this name; errors as `find`."""
    part = find("tokenizer", name)
    found: Tokenizer = part.load()()
    found.name = name
    found.version = part.sha256 or found.version  # a plugin's is its code
    return found


class NltkTokenizer(Tokenizer):
    """English, as nltk cuts it."""

    name = "nltk"
    version = version("nltk")
    is_english = True
    _glued = re.compile(r"[.,!?;:%]|n't|'(?:s|m|re|ve|ll|d)")
    _plain = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*(?:,? [a-z0-9]+(?:-[a-z0-9]+)*)* ?\.?")
    _contraction = re.compile(r"cannot|gimme|gonna|gotta|lemme|wanna")

    @property
    def key(self) -> str:
        """The version alone, as before there were others: what is cached stays."""
        return self.version

    def split(self, caption: str) -> list[str]:
        """See `Tokenizer`; some 120,000 captions a second, so one process does."""
        text = caption.lower()
        if self._plain.fullmatch(text) and not self._contraction.search(text):
            if text.endswith("."):
                text = f"{text[:-1]} ."
            return text.replace(",", " ,").split()
        return [str(word) for word in _nltk()(text)]

    def touch(self, left: str, right: str) -> bool:
        """No blank before punctuation and contractions."""
        return self._glued.fullmatch(right) is not None

    def pieces(self, words: Sequence[str]) -> list[str]:
        """See `Tokenizer`; nltk's quotes as quotes."""
        return super().pieces(['"' if word in ("``", "''") else word for word in words])


NLTK = NltkTokenizer()


@cache
def _nltk() -> Callable[[str], list[str]]:
    from nltk.tokenize.destructive import NLTKWordTokenizer  # here: who only reads tokens needs no tokenizer

    return NLTKWordTokenizer().tokenize  # type: ignore[no-any-return]


_NO_BLANKS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー"
"""Scripts whose words have no blanks between them."""
_WORD = r"[\p{L}\p{N}_][\p{L}\p{N}\p{M}_\u200c\u200d]*"
_WORD_WITH_BLANKS = rf"[[\p{{L}}\p{{N}}_]--[{_NO_BLANKS}]][[\p{{L}}\p{{N}}\p{{M}}_\u200c\u200d]--[{_NO_BLANKS}]]*"
# within a word: apostrophes, hyphens, points of Catalan and Hebrew; between digits, what stands in numbers and times
_INNER = r"(?:['\u2019\-\u00b7\u05f3\u05f4]|(?<=\p{N})[.,:](?=\p{N}))"
_CLOSING = r"([\p{Terminal_Punctuation}\p{Pe}\p{Pf}%\u2026])\1*"
_OPENING = r"([\p{Ps}\p{Pi}\u00bf\u00a1])\1*"
_TIGHT = rf"[{_NO_BLANKS}\u3000-\u303f\uff01-\uff0f\uff1a-\uff20]"
"""No blank stands beside these: letters of such scripts, and East Asian punctuation."""


@cache
def _compiled(pattern: str) -> Any:
    import regex  # type: ignore[import-untyped]  # here: for its properties of Unicode, of which `re` knows none; English needs none

    return regex.compile(pattern, regex.VERSION1)


def letters_without_blanks(word: str) -> int:
    """How many letters of a word are in a script without blanks."""
    return 0 if word.isascii() else len(_compiled(rf"[[{_NO_BLANKS}]--\p{{M}}]").findall(word))


class WordTokenizer(Tokenizer):
    """Words of any script that puts blanks between them, with the marks on their letters, and punctuation marks."""

    name = "words"
    version = f"1 regex {version('regex')}"
    word = _WORD

    def split(self, caption: str) -> list[str]:
        """See `Tokenizer`. A mark that is repeated ("...") is one token; a blank without width is a blank."""
        token = _compiled(rf"{self.word}(?:{_INNER}{self.word})*|(\p{{P}})\1*|(?!\s)\X")
        return [found.group() for found in token.finditer(caption.lower().replace("\u200b", " "))]

    def touch(self, left: str, right: str) -> bool:
        """No blank before what closes and after what opens, unless the two would be cut another way."""
        return _touch(type(self), left, right)

    def glues(self, left: str, right: str) -> bool:
        """Whether people write no blank between the two."""
        return bool(_compiled(_CLOSING).fullmatch(right) or _compiled(_OPENING).fullmatch(left))


class CharacterTokenizer(WordTokenizer):
    """Characters, in the sense of grapheme clusters, of scripts without blanks; `words` for all else."""

    name = "characters"
    word = _WORD_WITH_BLANKS

    def glues(self, left: str, right: str) -> bool:
        """Nor is there a blank beside such a character."""
        tight = _compiled(_TIGHT)
        return bool(tight.match(left[-1]) or tight.match(right[0])) or super().glues(left, right)


@lru_cache(maxsize=1 << 16)
def _touch(kind: type[WordTokenizer], left: str, right: str) -> bool:
    tokenizer = kind()
    return tokenizer.glues(left, right) and tokenizer.split(left + right) == [left, right]
