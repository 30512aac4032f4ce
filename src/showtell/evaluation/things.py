"""Which things a caption names: a lexicon of their words, and the invented ones among what captions say.

CHAIR (Rohrbach et al. 2018, arXiv 1809.02156) counts what a caption names although the picture does not show it. What
a picture shows is told by COCO's instances, or whoever knows better, and by people's captions: what one of them names
is there. `CHAIR-i` is the share of all things named that are invented, `CHAIR-s` the share of captions that name one.
The words for COCO's 80 things stand in `coco_things.txt`; they are ours, not the paper's, so figures differ.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_IRREGULAR = {
    "man": "men", "woman": "women", "child": "children", "person": "people", "policeman": "policemen",
    "fireman": "firemen", "fisherman": "fishermen", "businessman": "businessmen", "mouse": "mice", "goose": "geese",
    "knife": "knives", "calf": "calves", "leaf": "leaves", "scissor": "scissors",
}  # fmt: skip
_NOTHING = "-"


@dataclass(frozen=True)
class Mention:
    """A thing that a caption names, and the words for it, from token `start` to before token `end`."""

    thing: str
    start: int
    end: int


class Lexicon:
    """The words for things: phrases of tokens, the longest of which counts where several fit.

    Args:
        words: of each thing, in the singular; `=word` has no plural. Those of `-` name nothing.
    """

    def __init__(self, words: Mapping[str, Iterable[str]]) -> None:
        self._things: dict[tuple[str, ...], str] = {}
        for thing, phrases in words.items():
            for phrase in phrases:
                for form in {phrase.removeprefix("="), *(() if phrase.startswith("=") else (plural(phrase),))}:
                    self._things.setdefault(tuple(form.split()), thing)
        self._longest = max(map(len, self._things), default=0)

    @property
    def things(self) -> list[str]:
        """All that can be named."""
        return sorted({*self._things.values()} - {_NOTHING})

    def mentions(self, tokens: Sequence[str]) -> list[Mention]:
        """The things that a caption of lower-case tokens names, in its order."""
        found, start = [], 0
        while start < len(tokens):
            ends = range(min(start + self._longest, len(tokens)), start, -1)
            end = next((end for end in ends if tuple(tokens[start:end]) in self._things), None)
            if end is None:
                start += 1
                continue
            thing = self._things[tuple(tokens[start:end])]
            if thing != _NOTHING:
                found.append(Mention(thing, start, end))
            start = end
        return found


@dataclass(frozen=True)
class Chair:
    """What captions invent.

    Attributes:
        mentions: of each caption, what it names.
        invented: of each caption, those of its mentions that its picture does not show.
    """

    mentions: Sequence[Sequence[Mention]]
    invented: Sequence[Sequence[Mention]]

    @property
    def i(self) -> float:
        """The share of things named that are invented; 0 where nothing is named."""
        return sum(map(len, self.invented)) / max(1, sum(map(len, self.mentions)))

    @property
    def s(self) -> float:
        """The share of captions with an invented thing."""
        return sum(map(bool, self.invented)) / max(1, len(self.invented))


def chair(
    captions: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
    shown: Sequence[Iterable[str]] | None,
    lexicon: Lexicon,
) -> Chair:
    """Compares what captions name with what the pictures show.

    Args:
        captions: one per picture, as tokens.
        references: people's captions of each picture, as tokens.
        shown: the things in each picture, as its annotators marked them; None: only people's captions tell.
        lexicon: the words for things.
    """
    named = [lexicon.mentions(tokens) for tokens in captions]
    invented = []
    for place, found in enumerate(named):
        there = {mention.thing for tokens in references[place] for mention in lexicon.mentions(tokens)}
        there |= set(shown[place]) if shown is not None else set()
        invented.append([mention for mention in found if mention.thing not in there])
    return Chair(named, invented)


@cache
def coco_lexicon() -> Lexicon:
    """The words for COCO's 80 things."""
    return read_lexicon(files("showtell.evaluation").joinpath("coco_things.txt").read_text(encoding="utf-8"))


def read_lexicon(text: str) -> Lexicon:
    """A lexicon of lines `thing: word, word ...`, as `coco_things.txt` explains them.

    Raises:
        ValueError: a line is not like that; it says which.
    """
    words: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        thing, _, phrases = (part.strip() for part in line.lower().partition(":"))
        found = [phrase.strip() for phrase in phrases.split(",") if phrase.strip(" =")]
        if not thing or not found:
            raise ValueError(f"line {number}: must be like `dog: dog, puppy`")
        words.setdefault(thing, []).extend(found)
    return Lexicon(words)


def plural(phrase: str) -> str:
    """Of a word, or of the last word of several; of what stands before an `of` or `in` where there is one."""
    head, preposition, rest = re.fullmatch(r"(.+?)((?: (?:of|in) |$))(.*)", phrase).groups()  # type: ignore[union-attr]
    before, blank, word = head.rpartition(" ")
    return f"{before}{blank}{_plural_of_word(word)}{preposition}{rest}"


def _plural_of_word(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    if re.search(r"(s|x|z|ch|sh)$", word):
        return word + "es"
    return word + "s"
