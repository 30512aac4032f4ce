"""What a drawn scene is: its words, its truth, and how one is thought up.

A scene is a background and one to three objects, each with a kind, a color, a size, a texture and a box. It is kept as
a plain dict, because it is written to JSON beside the captions and read back by the judge. The boxes are the only
source of spatial truth: A is left of B when A's box ends before B's begins, so nothing is left to taste.

Some combinations are never shown in training: one color of each kind, and for some pairs of kinds one of the ways in
which they can lie. Every second validation scene holds such a combination. Each part of it is common in training, so a
model that learned the parts can tell the whole.
"""

import random
from itertools import permutations
from typing import Any

KINDS = (
    "star", "heart", "house", "tree", "car", "fish", "boat", "flower", "mushroom", "umbrella", "balloon", "cup",
)  # fmt: skip
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "white")
TEXTURES = ("plain", "striped", "dotted")
SIZES = ("small", "large")
BACKGROUNDS = ("meadow", "beach", "snow", "night", "wall", "sunset")
RELATIONS = ("left", "right", "above", "below")

CANVAS = 224
"""Side of a picture in pixels, the input size of the offline encoder."""
_SIDES = {"small": (54, 62), "large": (94, 106)}
_GAP = 6
_MARGIN = 4

Scene = dict[str, Any]
"""`background`, `objects` (`kind`, `color`, `size`, `texture`, `box` = left, top, right, bottom in pixels), `held_out`."""


def stands(relation: str, a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether object `a` is left of, right of, above or below object `b`, by their boxes."""
    if relation in ("right", "below"):
        return stands({"right": "left", "below": "above"}[relation], b, a)
    start = 0 if relation == "left" else 1
    return bool(a["box"][start + 2] <= b["box"][start])


def held_out_combinations(scene: Scene) -> list[str]:
    """The combinations in a scene that training must not show, as words: `blue star`, `star above heart`."""
    found = [f"{o['color']} {o['kind']}" for o in scene["objects"] if _held_out_color(o["kind"]) == o["color"]]
    for a, b in permutations(scene["objects"], 2):
        steps = (KINDS.index(b["kind"]) - KINDS.index(a["kind"])) % len(KINDS)
        relation = {1: "above", 2: "left"}.get(steps)
        if relation and stands(relation, a, b):
            found.append(f"{a['kind']} {relation} {b['kind']}")
    return found


def _held_out_color(kind: str) -> str:
    return COLORS[(3 * KINDS.index(kind)) % len(COLORS)]


def think_up(split: str, index: int, seed: int) -> Scene:
    """The scene of one picture: a pure function of its arguments, so pictures can be drawn in any order.

    Args:
        split: `train`, which gets no held-out combination, or `val`, where every second scene has one.
        index: the picture's position in the split.
        seed: the data set's seed.
    """
    rng = random.Random(f"{seed}/{split}/{index}")
    wants_held_out = split == "val" and index % 2 == 1
    while True:
        scene = _any_scene(rng)
        scene["held_out"] = held_out_combinations(scene)
        if bool(scene["held_out"]) == wants_held_out:
            return scene


def _any_scene(rng: random.Random) -> Scene:
    count = rng.choices((1, 2, 3), (3, 5, 2))[0]
    kinds = rng.sample(KINDS, count)
    while True:
        sizes = [rng.choice(SIZES) for _ in kinds]
        boxes = _place([rng.randint(*_SIDES[size]) for size in sizes], rng)
        if boxes:
            break
    objects = [
        {"kind": kind, "color": rng.choice(COLORS), "size": size, "texture": rng.choice(TEXTURES), "box": box}
        for kind, size, box in zip(kinds, sizes, boxes, strict=True)
    ]
    return {"background": rng.choice(BACKGROUNDS), "objects": objects}


def _place(sides: list[int], rng: random.Random) -> list[list[int]] | None:
    """Boxes that keep clear of each other, or None when a draw leaves no room."""
    boxes: list[list[int]] = []
    for side in sides:
        for _ in range(20):
            left, top = (rng.randint(_MARGIN, CANVAS - _MARGIN - side) for _ in range(2))
            box = [left, top, left + side, top + side]
            if all(_clear(box, other) for other in boxes):
                boxes.append(box)
                break
        else:
            return None
    return boxes


def _clear(a: list[int], b: list[int]) -> bool:
    return any(a[i + 2] + _GAP <= b[i] or b[i + 2] + _GAP <= a[i] for i in range(2))
