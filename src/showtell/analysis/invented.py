"""Invented things: CHAIR with intervals, and by thing how often it is invented of how often it is said."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from showtell.analysis.material import Floats, Ints, Material, Things
from showtell.evaluation.resampling import Interval, samples
from showtell.evaluation.sums import Sums, mean
from showtell.evaluation.things import Chair, chair


@dataclass(frozen=True)
class InventedThing:
    """A thing: how often captions name it, how often it is not there, and the pictures where it is not."""

    thing: str
    said: int
    invented: int
    pictures: Ints


@dataclass(frozen=True)
class Inventions:
    """What captions invent.

    Attributes:
        i: CHAIR-i, the share of things named that are invented.
        s: CHAIR-s, the share of captions that invent one.
        things: those ever invented, the most often invented first.
        captions: what is named and what of it is invented, by caption.
    """

    i: Interval
    s: Interval
    things: Sequence[InventedThing]
    captions: Chair


def inventions(material: Material, things: Things) -> Inventions:
    """Compares captions with what there is in their pictures."""
    found = chair(material.said, material.people, things.shown, things.lexicon)
    named = np.array([len(one) for one in found.mentions], np.float64)
    invented = np.array([len(one) for one in found.invented], np.float64)
    sums = [
        Sums(("i",), np.stack([invented, named], 1), _share),
        Sums(("s",), np.stack([invented > 0, np.ones_like(named)], 1).astype(np.float64), mean),
    ]
    intervals = {name: sample.interval() for name, sample in samples([sums])[0].items()}
    return Inventions(intervals["i"], intervals["s"], _by_thing(found), found)


def _share(sums: Floats) -> Floats:
    """As `mean`; 0 of nothing."""
    return np.divide(sums[..., :1], sums[..., 1:], out=np.zeros_like(sums[..., :1]), where=sums[..., 1:] > 0)


def _by_thing(found: Chair) -> list[InventedThing]:
    said: dict[str, int] = {}
    places: dict[str, list[int]] = {}
    for place, (named, invented) in enumerate(zip(found.mentions, found.invented, strict=True)):
        for mention in named:
            said[mention.thing] = said.get(mention.thing, 0) + 1
        for mention in invented:
            places.setdefault(mention.thing, []).append(place)
    things = [
        InventedThing(thing, said[thing], len(some), np.unique(np.array(some, np.int64)))
        for thing, some in places.items()
    ]
    return sorted(things, key=lambda one: (-one.invented, one.said, one.thing))
