"""Draws a scene.

Everything is a polygon in the unit square: curves are polygons with many corners, so turning and mirroring an object is
one formula, and a texture is a pattern seen through the polygon's mask. Pictures are drawn at twice their size and
scaled down, which smooths every edge.
"""

import math
import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from showtell.data.shapes.scenes import CANVAS, Scene

_ZOOM = 2
_SIDE = CANVAS * _ZOOM
_DARK = (45, 42, 50)
_WHITE = (250, 250, 248)
_BROWN = (112, 74, 48)
_GLASS = (196, 226, 240)
_PALE = (244, 230, 206)

Color = tuple[int, int, int]
Points = list[tuple[float, float]]
Part = tuple[Points, Color | None]
"""A polygon in the unit square and its color; None takes the object's own color and texture."""

_PAINT: dict[str, Color] = {
    "red": (220, 30, 36),
    "yellow": (252, 226, 40),
    "green": (40, 160, 60),
    "blue": (36, 84, 214),
}


def draw(scene: Scene, seed: str) -> Image.Image:
    """The picture of a scene, RGB, `CANVAS` pixels square; `seed` decides what the truth leaves open."""
    rng = random.Random(f"draw/{seed}")
    image = Image.new("RGB", (_SIDE, _SIDE))
    _BACKGROUNDS[scene["background"]](image, ImageDraw.Draw(image), rng)
    for thing in scene["objects"]:
        _draw_object(image, thing, rng)
    return image.resize((CANVAS, CANVAS), Image.Resampling.BOX)


def _draw_object(image: Image.Image, thing: dict[str, Any], rng: random.Random) -> None:
    left, top, right, bottom = (_ZOOM * edge for edge in thing["box"])
    side, angle = right - left, math.radians(rng.uniform(-7, 7))
    mirror = rng.choice((-1, 1))
    paint = _shade(_PAINT[thing["color"]], rng)
    cos, sin = math.cos(angle) * side * 0.9, math.sin(angle) * side * 0.9

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x, y = (point[0] - 0.5) * mirror, point[1] - 0.5
        return (left + right) / 2 + cos * x - sin * y, (top + bottom) / 2 + sin * x + cos * y

    pattern = _pattern(thing["texture"], paint, side)
    pen = ImageDraw.Draw(image)
    for points, color in _PARTS[thing["kind"]]:
        corners = [place(point) for point in points]
        if color is None:
            mask = Image.new("L", (side, side))
            ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in corners], fill=255)
            image.paste(pattern, (left, top), mask)
        else:
            pen.polygon(corners, fill=color)
        pen.line([*corners, *corners[:2]], fill=_DARK, width=3, joint="curve")


def _shade(color: Color, rng: random.Random) -> Color:
    shift = rng.randint(-10, 5)
    red, green, blue = (min(255, max(0, part + shift)) for part in color)
    return red, green, blue


def _pattern(texture: str, paint: Color, side: int) -> Image.Image:
    """The object's fill: its color, with stripes or dots of white."""
    image = Image.new("RGB", (side, side), paint)
    pen, mark = ImageDraw.Draw(image), _WHITE
    step = max(18, side // 8)
    if texture == "striped":
        for x in range(-side, side, step):
            pen.line([(x, 0), (x + side, side)], fill=mark, width=step // 4)
    elif texture == "dotted":
        radius = step / 4
        for row, y in enumerate(range(step // 3, side, step)):
            for x in range(step // 3 + row % 2 * step // 2, side, step):
                pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=mark)
    return image


def _curve(at: Callable[[float], tuple[float, float]], corners: int = 40) -> Points:
    return [at(2 * math.pi * i / corners) for i in range(corners)]


def _oval(x: float, y: float, rx: float, ry: float) -> Points:
    return _curve(lambda t: (x + rx * math.cos(t), y + ry * math.sin(t)))


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _dome(left: float, right: float, top: float, base: float) -> Points:
    x, rx = (left + right) / 2, (right - left) / 2
    return [(x - rx * math.cos(math.pi * i / 24), base - (base - top) * math.sin(math.pi * i / 24)) for i in range(25)]


def _star() -> Points:
    reach = [0.5, 0.22] * 5
    return [(0.5 + r * math.sin(math.pi * i / 5), 0.52 - r * math.cos(math.pi * i / 5)) for i, r in enumerate(reach)]


def _heart(t: float) -> tuple[float, float]:
    bump = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
    return 0.5 + 0.5 * math.sin(t) ** 3, 0.44 - 0.5 * bump / 16


def _petals() -> list[Part]:
    angles = [math.pi * i / 3 for i in range(6)]
    return [(_oval(0.5 + 0.23 * math.sin(a), 0.33 - 0.23 * math.cos(a), 0.14, 0.14), None) for a in angles]


_PARTS: dict[str, list[Part]] = {
    "star": [(_star(), None)],
    "heart": [(_curve(_heart, 60), None)],
    "house": [
        (_box(0.1, 0.42, 0.9, 1), None),
        ([(0, 0.44), (0.5, 0), (1, 0.44)], None),
        (_box(0.2, 0.62, 0.42, 1), _BROWN),
        (_box(0.56, 0.56, 0.8, 0.78), _GLASS),
    ],
    "tree": [
        (_box(0.42, 0.75, 0.58, 1), _BROWN),
        ([(0.06, 0.82), (0.5, 0.4), (0.94, 0.82)], None),
        ([(0.14, 0.56), (0.5, 0.18), (0.86, 0.56)], None),
        ([(0.24, 0.32), (0.5, 0), (0.76, 0.32)], None),
    ],
    "car": [
        ([(0, 0.72), (0, 0.5), (0.16, 0.45), (0.3, 0.22), (0.7, 0.22), (0.85, 0.46), (1, 0.5), (1, 0.72)], None),
        ([(0.26, 0.46), (0.35, 0.29), (0.48, 0.29), (0.48, 0.46)], _GLASS),
        ([(0.54, 0.46), (0.54, 0.29), (0.66, 0.29), (0.75, 0.46)], _GLASS),
        (_oval(0.24, 0.74, 0.13, 0.13), _DARK),
        (_oval(0.76, 0.74, 0.13, 0.13), _DARK),
        (_oval(0.24, 0.74, 0.05, 0.05), _WHITE),
        (_oval(0.76, 0.74, 0.05, 0.05), _WHITE),
    ],
    "fish": [
        ([(0.66, 0.5), (1, 0.22), (0.92, 0.5), (1, 0.78)], None),
        ([(0.3, 0.32), (0.5, 0.1), (0.62, 0.34)], None),
        (_oval(0.39, 0.5, 0.39, 0.25), None),
        (_oval(0.19, 0.44, 0.06, 0.06), _WHITE),
        (_oval(0.18, 0.44, 0.025, 0.025), _DARK),
    ],
    "flower": [
        (_box(0.475, 0.45, 0.525, 1), (70, 96, 60)),
        ([(0.5, 0.95), (0.62, 0.72), (0.82, 0.68), (0.74, 0.86)], (70, 96, 60)),
        *_petals(),
        (_oval(0.5, 0.33, 0.13, 0.13), _BROWN),
    ],
    "umbrella": [
        (_box(0.475, 0, 0.525, 0.9), _DARK),
        ([(0.5, 0.88), (0.7, 0.88), (0.7, 0.78), (0.76, 0.78), (0.76, 0.96), (0.5, 0.96)], _DARK),
        ([*_dome(0, 1, 0.04, 0.55), (0.84, 0.47), (0.67, 0.55), (0.5, 0.47), (0.33, 0.55), (0.16, 0.47)], None),
    ],
}


def _gradient(image: Image.Image, top: Color, bottom: Color, start: int = 0, end: int = _SIDE) -> None:
    first, last = np.array(top), np.array(bottom)
    shares = np.arange(end - start)[:, None, None] / (end - start)
    column = Image.fromarray(np.rint(first + (last - first) * shares).astype(np.uint8))
    image.paste(column.resize((_SIDE, end - start), Image.Resampling.NEAREST), (0, start))


def _sprinkle(pen: ImageDraw.ImageDraw, rng: random.Random, count: int, rows: Iterable[int], color: Color) -> None:
    low, high = rows
    for _ in range(count):
        x, y, radius = rng.randrange(_SIDE), rng.randrange(low, high), rng.uniform(1, 4)
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color)


def _meadow(image: Image.Image, pen: ImageDraw.ImageDraw, rng: random.Random) -> None:
    horizon = rng.randrange(100, 180)
    _gradient(image, (206, 226, 238), (228, 240, 246), 0, horizon)
    _gradient(image, (192, 212, 168), (164, 190, 138), horizon)
    for _ in range(160):
        x, y = rng.randrange(_SIDE), rng.randrange(horizon + 10, _SIDE)
        pen.line([(x, y), (x + rng.randint(-4, 4), y - 10)], fill=(128, 158, 106), width=2)


def _beach(image: Image.Image, pen: ImageDraw.ImageDraw, rng: random.Random) -> None:
    horizon, shore = rng.randrange(90, 130), rng.randrange(190, 240)
    _gradient(image, (190, 228, 246), (232, 244, 248), 0, horizon)
    _gradient(image, (150, 196, 206), (184, 218, 218), horizon, shore)
    _gradient(image, (238, 226, 198), (224, 208, 174), shore)
    _sprinkle(pen, rng, 120, (shore + 6, _SIDE), (204, 186, 150))


def _snow(image: Image.Image, pen: ImageDraw.ImageDraw, rng: random.Random) -> None:
    horizon = rng.randrange(170, 250)
    _gradient(image, (158, 176, 198), (196, 208, 222), 0, horizon)
    x, width = rng.randrange(_SIDE), rng.randrange(150, 220)
    pen.polygon([(x - width, horizon), (x, horizon - 110), (x + width, horizon)], fill=(176, 190, 208))
    _gradient(image, (228, 234, 242), (212, 222, 234), horizon)
    _sprinkle(pen, rng, 140, (0, _SIDE), (250, 252, 255))


def _night(image: Image.Image, pen: ImageDraw.ImageDraw, rng: random.Random) -> None:
    _gradient(image, (20, 20, 34), (48, 48, 66))
    _sprinkle(pen, rng, 70, (0, _SIDE), (226, 226, 200))


def _wall(image: Image.Image, pen: ImageDraw.ImageDraw, rng: random.Random) -> None:
    pen.rectangle([0, 0, _SIDE, _SIDE], fill=(206, 192, 184))
    for row, y in enumerate(range(-rng.randrange(32), _SIDE, 32)):
        for x in range(-32 * (row % 2) - 64, _SIDE, 64):
            tone = rng.randint(-10, 10)
            pen.rectangle([x + 2, y + 2, x + 61, y + 29], fill=(166 + tone, 140 + tone, 130 + tone))


def _sunset(image: Image.Image, pen: ImageDraw.ImageDraw, rng: random.Random) -> None:
    horizon = rng.randrange(260, 340)
    _gradient(image, (150, 140, 166), (240, 204, 184), 0, horizon)
    x = rng.randrange(60, _SIDE - 60)
    pen.ellipse([x - 44, horizon - 50, x + 44, horizon + 38], fill=(255, 232, 188))
    _gradient(image, (110, 98, 112), (84, 76, 90), horizon)


_BACKGROUNDS: dict[str, Callable[[Image.Image, ImageDraw.ImageDraw, random.Random], None]] = {
    "meadow": _meadow,
    "beach": _beach,
    "snow": _snow,
    "night": _night,
    "wall": _wall,
    "sunset": _sunset,
}
