"""Judges a caption by the truth of its picture.

A caption is cut into noun phrases and fixed phrases of the tables in `words`, each of which becomes one letter, and the
string of letters must match one regular expression, the grammar. What does not parse is false: a caption that says
nothing checkable earns nothing. What parses is a set of claims, and the caption is wholly true when its noun phrases
can be given to different objects so that every claim holds. Articles and the order of adjectives are grammar, not
truth, and are not judged.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product

from showtell.data.shapes.scenes import (
    BACKGROUND_WORDS,
    COLORS,
    MARKS,
    NEIGHBORS,
    NOUNS,
    RELATION_WORDS,
    SIZE_WORDS,
    STARTERS,
    TEXTURE_WORDS,
    Scene,
    stands,
)

Phrases = dict[tuple[str, ...], tuple[str, str]]
Looks = tuple[tuple[str, str], ...]
"""What a noun phrase says of its object: (attribute, value) pairs."""


def _table(letter: str, wordings: Mapping[str, tuple[str, ...]]) -> Phrases:
    return {tuple(text.split()): (letter, value) for value, texts in wordings.items() for text in texts}


_PHRASES: Phrases = {
    **_table("R", RELATION_WORDS),
    **_table("Q", NEIGHBORS),
    **_table("B", BACKGROUND_WORDS),
    **_table("S", {"": STARTERS}),
    **_table("A", {"": ("and",)}),
    **_table("I", {"": ("is", "are")}),
    **_table("W", {"": ("with",)}),
}
_MARKS = _table("texture", MARKS)
_ADJECTIVES = {
    **_table("size", SIZE_WORDS),
    **_table("texture", TEXTURE_WORDS),
    **_table("color", {color: (color,) for color in COLORS}),
}
_NOUNS = _table("kind", NOUNS)
_LONGEST = max(map(len, _PHRASES))

# N: a noun phrase; a group is one, or a list that ends in "and"
_GROUP = "N(?:N*AN)?"
_GRAMMAR = re.compile(
    "B?(?:"
    f"S?(?P<list>{_GROUP})"
    f"|S?(?P<a>{_GROUP})I?(?P<r>R)(?P<b>{_GROUP})"
    f"|(?P<r2>R)(?P<b2>{_GROUP})I(?P<a2>{_GROUP})"
    f"|S?(?P<b3>N)W(?P<a3>{_GROUP})(?P<r3>Q)"
    ")(?:I?B)?"
)


@dataclass(frozen=True)
class Claims:
    """What a caption says: its objects' looks, which object stands where, and the backgrounds it names."""

    objects: tuple[Looks, ...]
    relations: tuple[tuple[int, str, int], ...]
    backgrounds: tuple[str, ...]


def is_true(caption: str, scene: Scene) -> bool:
    """Whether every object, color, size, texture, relation and background that the caption mentions is right."""
    claims = parse(caption)
    return claims is not None and _holds(claims, scene)


@lru_cache(maxsize=65536)
def parse(caption: str) -> Claims | None:
    """The claims of a caption, or None where it is no sentence of the grammar."""
    chunks = _chunks(re.findall(r"[a-z]+|[^a-z\s.,!]+", caption.lower()))
    if chunks is None:
        return None
    match = _GRAMMAR.fullmatch("".join(letter for letter, _ in chunks))
    if match is None:
        return None
    positions = [i for i, (letter, _) in enumerate(chunks) if letter == "N"]

    def group(name: str) -> list[int]:
        start, end = match.span(name)
        return [number for number, at in enumerate(positions) if start <= at < end]

    relations = [
        (first, str(chunks[match.start(f"r{n}")][1]), second)
        for n in ("", "2", "3")
        if match[f"r{n}"]
        for first, second in product(group(f"a{n}"), group(f"b{n}"))
    ]
    return Claims(
        objects=tuple(looks for letter, looks in chunks if letter == "N" and isinstance(looks, tuple)),
        relations=tuple(relations),
        backgrounds=tuple(str(value) for letter, value in chunks if letter == "B"),
    )


def _chunks(tokens: Sequence[str]) -> list[tuple[str, str | Looks]] | None:
    """The caption as (letter, value) pieces, or None where a word fits nowhere."""
    chunks: list[tuple[str, str | Looks]] = []
    at = 0
    while at < len(tokens):
        length = next((n for n in range(_LONGEST, 0, -1) if tuple(tokens[at : at + n]) in _PHRASES), 0)
        if length:
            chunks.append(_PHRASES[tuple(tokens[at : at + length])])
            at += length
            continue
        looks, at = _noun_phrase(tokens, at)
        if not looks:
            return None
        chunks.append(("N", looks))
    return chunks


def _noun_phrase(tokens: Sequence[str], at: int) -> tuple[Looks, int]:
    """The looks that a noun phrase at `at` tells and where it ends; no looks where there is none."""
    looks: list[tuple[str, str]] = []
    if tokens[at] in ("a", "an", "the"):
        at += 1
        while tuple(tokens[at : at + 1]) in _ADJECTIVES:
            looks.append(_ADJECTIVES[(tokens[at],)])
            at += 1
        if tuple(tokens[at : at + 1]) in _NOUNS:
            looks.append(_NOUNS[(tokens[at],)])
            mark = _MARKS.get(tuple(tokens[at + 1 : at + 3]))
            return (*looks, *([mark] if mark else [])), at + (3 if mark else 1)
    return (), at


def _holds(claims: Claims, scene: Scene) -> bool:
    if any(background != scene["background"] for background in claims.backgrounds):
        return False
    return any(
        all(thing.items() >= set(looks) for looks, thing in zip(claims.objects, things, strict=True))
        and all(stands(relation, things[a], things[b]) for a, relation, b in claims.relations)
        for things in permutations(scene["objects"], len(claims.objects))
    )


def relations_hold(caption: str, scene: Scene) -> bool | None:
    """Whether the things that a caption places stand so, whatever looks it gives them.

    A scene holds each kind of thing at most once, so a kind says which thing is meant, and one that is placed beside
    itself is not there a second time.

    Returns:
        None where there is nothing to judge: no sentence of the grammar, nothing placed, or a thing that is not there.
    """
    claims = parse(caption)
    if claims is None or not claims.relations:
        return None
    things = {thing["kind"]: thing for thing in scene["objects"]}
    named = [things.get(dict(looks).get("kind", "")) for looks in claims.objects]
    pairs = [(relation, named[i], named[j]) for i, relation, j in claims.relations]
    if not all(a and b and a is not b for _, a, b in pairs):
        return None
    return all(stands(relation, a, b) for relation, a, b in pairs if a and b)


def truth_shares(captions: Mapping[int, str], scenes: Mapping[int, Scene]) -> dict[str, float]:
    """`true`, the share of captions wholly true; `relations_true`, of those that place things of the picture.

    Captions (at least one) and scenes are by picture id.
    """
    true = [is_true(caption, scenes[picture]) for picture, caption in captions.items()]
    placed = [relations_hold(caption, scenes[picture]) for picture, caption in captions.items()]
    relations = [verdict for verdict in placed if verdict is not None]
    shares = {"true": sum(true) / len(true)}
    return shares | ({"relations_true": sum(relations) / len(relations)} if relations else {})


def constant_caption_floor(
    captions: Iterable[str], scenes: Sequence[Scene], candidates: int = 200
) -> tuple[str, float]:
    """The best that one caption for all pictures can do: that caption, and the share of scenes it fits.

    So many `candidates` of the commonest captions are tried, and of the shortest: "A tree." is rare, but it claims so
    little that it is true of more pictures than any common caption.
    """
    counts = Counter(captions)
    tried = [caption for caption, _ in counts.most_common(candidates)]
    tried += sorted(counts, key=lambda caption: (len(caption.split()), caption))[:candidates]
    shares = {caption: sum(is_true(caption, scene) for scene in scenes) / len(scenes) for caption in tried}
    best = max(shares, key=lambda caption: shares[caption])
    return best, shares[best]
