"""What a drawn scene is: its truth, its words, and how one is thought up.

A scene is a background and one to three objects, each with a kind, a color, a size, a texture and a box. It is kept as
a plain dict, because it is written to JSON beside the captions and read back by the judge. The boxes are the only
source of spatial truth: A is left of B when A's box ends before B's begins, so nothing is left to taste.

Some combinations are never shown in training: each kind in each color, say the blue star, keeps away from one of the
four relations and is never above anything, say. Every fourth validation scene holds such a combination. Each part of
it, blue stars, stars above, blue things above, is common in training. (Keeping a color from a kind altogether was
tried: a decoder that has never read "blue star" does not write it, whatever the encoder tells.)
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

    Args:
        split: `train`, which gets no held-out combination, or `val`, where every fourth scene has one.
        index: the picture's position in the split.
        seed: the data set's seed.
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
