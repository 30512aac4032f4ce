"""The words of the embedded data set: what each part of the truth is called, first choice first.

The captions are written from these tables and the judge reads captions back with the same tables, so the
two cannot drift apart.
"""

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
SIZES = {"small": ("small", "little", "tiny"), "large": ("large", "big")}
TEXTURES = {"plain": ("plain",), "striped": ("striped",), "dotted": ("dotted", "spotted")}
MARKS = {"striped": ("with stripes",), "dotted": ("with dots", "with spots")}
RELATIONS = {
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
BACKGROUNDS = {
    "meadow": ("in a meadow", "on the grass"),
    "beach": ("on the beach", "on the sand"),
    "snow": ("in the snow", "on a snowy day"),
    "night": ("at night", "in the dark"),
    "wall": ("in front of a brick wall", "by a brick wall"),
    "sunset": ("at sunset", "in the evening"),
}
STARTERS = ("there is", "a picture of", "we see", "this picture shows")
