"""Writes five different captions of a scene.

A caption is a structure (who stands where), noun phrases that tell some of each object's looks, and now and then a
starter and the background. Everything is drawn with the picture's own random numbers. Relations between objects are
told only when the boxes bear them out, and looks that a caption leaves out are left out, never blurred.
"""

import random
from itertools import permutations
from typing import Any

from showtell.data.shapes.scenes import (
    BACKGROUND_WORDS,
    CANVAS,
    COLORS,
    MARKS,
    NEIGHBORS,
    NOUNS,
    OPPOSITES,
    RELATION_WORDS,
    RELATIONS,
    SIZE_WORDS,
    STARTERS,
    TEXTURE_WORDS,
    Scene,
    stands,
)

CAPTIONS_PER_PICTURE = 5


def describe(scene: Scene, seed: str) -> list[str]:
    """Five different captions, each wholly true of the scene, capitalized and with a full stop."""
    rng = random.Random(f"describe/{seed}")
    captions: dict[str, None] = {}
    while len(captions) < CAPTIONS_PER_PICTURE:
        captions[_caption(scene, rng)] = None
    return list(captions)


def _caption(scene: Scene, rng: random.Random) -> str:
    sentence, takes_starter = _sentence(scene, rng)
    if takes_starter and rng.random() < 0.3:
        sentence = f"{rng.choice(STARTERS)} {sentence}"
    place = _pick(BACKGROUND_WORDS[scene["background"]], rng)
    draw = rng.random()
    if draw < 0.4:
        sentence = f"{sentence} {place}"
    elif draw < 0.5 and not sentence.startswith(("a picture", "this")):
        sentence = f"{place}, {sentence}"
    return f"{sentence[0].upper()}{sentence[1:]}."


def _sentence(scene: Scene, rng: random.Random) -> tuple[str, bool]:
    """The body of a caption, and whether "there is" and its like may stand before it."""
    objects = _in_order(scene["objects"], rng)
    if len(objects) == 1:
        return _noun_phrase(objects[0], rng, rich=True), True
    if len(objects) == 3:
        shared = _shared_relation(objects, rng)
        draw = rng.random()
        if draw < 0.3:
            a, b, c = (_noun_phrase(thing, rng) for thing in objects)
            return f"{a}, {b} and {c}", True
        if draw < 0.5 and shared:
            return shared, True
    return _pair(objects, rng)


def _in_order(objects: list[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    """The objects as one reads, row by row, and now and then in any order."""
    if rng.random() < 0.1:
        return rng.sample(objects, len(objects))
    return sorted(objects, key=lambda thing: (2 * thing["box"][1] // CANVAS, thing["box"][0]))


def _pair(objects: list[dict[str, Any]], rng: random.Random) -> tuple[str, bool]:
    a, b = (objects[i] for i in sorted(rng.sample(range(len(objects)), 2)))
    relation = _widest(a, b)
    first, second = _noun_phrase(a, rng), _noun_phrase(b, rng)
    words_between = _pick(RELATION_WORDS[relation], rng)
    frame = rng.choices(("plain", "is", "turned", "and", "its"), (4, 2, 1, 2, 1))[0]
    if frame == "is":
        return f"{first} is {words_between} {second}", False
    if frame == "turned":
        return f"{words_between} {second} is {first}", False
    if frame == "and":
        return f"{first} and {second}", True
    if frame == "its":
        return f"{first} with {second} {_pick(NEIGHBORS[OPPOSITES[relation]], rng)}", True
    return f"{first} {words_between} {second}", True


def _widest(a: dict[str, Any], b: dict[str, Any]) -> str:
    """Of the relations that hold between two objects, the one with the widest gap."""

    def gap(relation: str) -> int:
        low, high = (a, b) if relation in ("left", "above") else (b, a)
        axis = 0 if relation in ("left", "right") else 1
        return int(high["box"][axis] - low["box"][axis + 2])

    return max((relation for relation in RELATIONS if stands(relation, a, b)), key=gap)


def _shared_relation(objects: list[dict[str, Any]], rng: random.Random) -> str | None:
    """One object against the two others, where it stands in the same relation to both."""
    for a, b, c in permutations(objects):
        for relation in RELATIONS:
            if stands(relation, a, b) and stands(relation, a, c):
                first, second, third = (_noun_phrase(thing, rng) for thing in (a, b, c))
                return f"{first} {_pick(RELATION_WORDS[relation], rng)} {second} and {third}"
    return None


def _noun_phrase(thing: dict[str, Any], rng: random.Random, *, rich: bool = False) -> str:
    """An object's name with some of its looks; a `rich` one tells more of them."""
    told, after = [], ""
    if rng.random() < (0.65 if rich else 0.15):
        told.append(_pick(SIZE_WORDS[thing["size"]], rng))
    texture = thing["texture"]
    if rng.random() < (0.15 if texture == "plain" else 0.7 if rich else 0.25):
        if texture != "plain" and rng.random() < 0.25:
            after = f" {_pick(MARKS[texture], rng)}"
        else:
            told.append(_pick(TEXTURE_WORDS[texture], rng))
    if rng.random() < 0.97:
        assert thing["color"] in COLORS
        told.append(thing["color"])
    told.append(_pick(NOUNS[thing["kind"]], rng))
    article = "an" if told[0][0] in "aeiou" else "a"
    return f"{article} {' '.join(told)}{after}"


def _pick(choices: tuple[str, ...], rng: random.Random) -> str:
    """A wording; the first is taken most often."""
    return choices[0] if rng.random() < 0.6 else rng.choice(choices)
