"""What a drawn scene is: its truth, its words, how one is thought up and told.

A scene is a background and one to three objects, each with a kind, a color, a size, a texture and a box. It is kept as
a plain dict, because it is written to JSON beside the captions and read back by the judge. The boxes are the only
source of spatial truth: A is left of B when A's box ends before B's begins, so nothing is left to taste.

Some combinations are never shown in training: each kind in each color, say the blue star, keeps away from one of the
four relations and is never above anything, say. Every fourth validation scene holds such a combination. Each part of
it, blue stars, stars above, blue things above, is common in training. (Keeping a color from a kind altogether was
tried: a decoder that has never read "blue star" does not write it, whatever the encoder tells.)

A caption is a structure (who stands where), noun phrases that tell some of each object's looks, and now and then a
starter and the background. Everything is drawn with the picture's own random numbers. Relations between objects are
told only when the boxes bear them out, and looks that a caption leaves out are left out, never blurred.
"""

import random
from itertools import permutations
from typing import Any

KINDS = ("star", "heart", "house", "tree", "car", "fish", "flower", "umbrella")
COLORS = ("red", "yellow", "green", "blue")
TEXTURES = ("plain", "striped", "dotted")
SIZES = ("small", "large")
BACKGROUNDS = ("meadow", "beach", "snow", "night", "wall", "sunset")
RELATIONS = ("left", "right", "above", "below")
OPPOSITES = {"left": "right", "right": "left", "above": "below", "below": "above"}

# What each part of the truth is called, first choice first. Captions are written from these tables and the judge reads
# captions back with the same tables, so the two cannot drift apart.
NOUNS = {
    "star": ("star",),
    "heart": ("heart",),
    "house": ("house", "cottage"),
    "tree": ("tree", "fir"),
    "car": ("car", "automobile"),
    "fish": ("fish",),
    "flower": ("flower", "blossom"),
    "umbrella": ("umbrella",),
}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "large": ("large", "big")}
TEXTURE_WORDS = {"plain": ("plain",), "striped": ("striped",), "dotted": ("dotted", "spotted")}
MARKS = {"striped": ("with stripes",), "dotted": ("with dots", "with spots")}
RELATION_WORDS = {
    "left": ("to the left of", "left of"),
    "right": ("to the right of", "right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
NEIGHBORS = {
    "left": ("to its left", "on its left"),
    "right": ("to its right", "on its right"),
    "above": ("above it",),
    "below": ("below it", "under it"),
}
BACKGROUND_WORDS = {
    "meadow": ("in a meadow", "on the grass"),
    "beach": ("on the beach", "on the sand"),
    "snow": ("in the snow", "on a snowy day"),
    "night": ("at night", "in the dark"),
    "wall": ("in front of a brick wall", "by a brick wall"),
    "sunset": ("at sunset", "in the evening"),
}
STARTERS = ("there is", "a picture of", "we see", "this picture shows")

CAPTIONS_PER_PICTURE = 5
CANVAS = 224
"""Side of a picture in pixels, the input size of the offline encoder."""
_SIDES = {"small": (66, 72), "large": (102, 108)}
_MARGIN = 2
# the parts of the canvas that a scene's objects have to themselves: left, top, right, bottom
_LAYOUTS = (
    ((0.2, 0.2, 0.8, 0.8),),
    ((0, 0.2, 0.5, 0.8), (0.5, 0.2, 1, 0.8)),
    ((0.2, 0, 0.8, 0.5), (0.2, 0.5, 0.8, 1)),
    ((0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0.2, 0.5, 0.8, 1)),
)
_LAYOUT_WEIGHTS = (30, 30, 30, 10)

Scene = dict[str, Any]
"""`background`, `objects` (each `kind`, `color`, `size`, `texture`, `box`), `held_out`.

A box is left, top, right, bottom in pixels.
"""


def stands(relation: str, a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether object `a` is left of, right of, above or below object `b`, by their boxes."""
    if relation in ("right", "below"):
        return stands(OPPOSITES[relation], b, a)
    start = 0 if relation == "left" else 1
    return bool(a["box"][start + 2] <= b["box"][start])


def held_out_combinations(scene: Scene) -> list[str]:
    """The combinations in a scene that training must not show, as words: `blue star above`."""
    return [
        f"{thing['color']} {thing['kind']} {relation}"
        for thing, other in permutations(scene["objects"], 2)
        if stands(relation := _held_out_relation(thing["kind"], thing["color"]), thing, other)
    ]


def _held_out_relation(kind: str, color: str) -> str:
    return RELATIONS[(KINDS.index(kind) + COLORS.index(color)) % len(RELATIONS)]


def think_up(split: str, index: int, seed: int) -> Scene:
    """The scene of one picture: a pure function of its arguments, so pictures can be drawn in any order.

    The split is `train`, which gets no held-out combination, or `val`, where every fourth scene has one.
    """
    rng = random.Random(f"{seed}/{split}/{index}")
    wants_held_out = split == "val" and index % 4 == 3
    while True:
        scene = _any_scene(rng)
        scene["held_out"] = held_out_combinations(scene)
        if bool(scene["held_out"]) == wants_held_out:
            return scene


def _any_scene(rng: random.Random) -> Scene:
    places = rng.choices(_LAYOUTS, _LAYOUT_WEIGHTS)[0]
    objects = []
    for kind, place in zip(rng.sample(KINDS, len(places)), places, strict=True):
        size = rng.choice(SIZES)
        looks = {
            "kind": kind,
            "color": rng.choice(COLORS),
            "size": size,
            "texture": rng.choices(TEXTURES, (2, 1, 1))[0],
        }
        objects.append(looks | {"box": _box_in(place, rng.randint(*_SIDES[size]), rng)})
    return {"background": rng.choice(BACKGROUNDS), "objects": objects}


def _box_in(place: tuple[float, float, float, float], side: int, rng: random.Random) -> list[int]:
    """A square of `side` pixels, somewhere in a part of the canvas."""
    left, top, right, bottom = (round(edge * CANVAS) for edge in place)
    x = rng.randint(left + _MARGIN, right - _MARGIN - side)
    y = rng.randint(top + _MARGIN, bottom - _MARGIN - side)
    return [x, y, x + side, y + side]


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
