"""Everything that is found out about captions, and what a terminal says of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from showtell.analysis.bins import Bin, Binned, binned, numbers
from showtell.analysis.confusions import Confusion, confused_things, confused_words
from showtell.analysis.invented import Inventions, inventions
from showtell.analysis.material import Ints, Material
from showtell.analysis.words import Overused, Unsaid, overused, unsaid
from showtell.evaluation.ptb import scored_tokens


@dataclass(frozen=True)
class Memory:
    """Captions that equal one of the nearest training picture, or not: which, their share, their mean CIDEr."""

    name: str
    pictures: Ints
    share: float
    cider: float


@dataclass(frozen=True)
class Findings:
    """What was found; None or empty where there is nothing to find it from."""

    material: Material
    bins: Sequence[Binned]
    overused: Sequence[Overused]
    unsaid: Sequence[Unsaid]
    inventions: Inventions | None
    confused_things: Sequence[Confusion]
    confused_words: Sequence[Confusion]
    memory: Sequence[Memory]


def analyse(material: Material) -> Findings:
    """Looks for all of it."""
    things = material.things
    return Findings(
        material,
        [binned(one, material.sums) for one in numbers(material)],
        overused(material),
        unsaid(material),
        inventions(material, things) if things else None,
        confused_things(material, things) if things else [],
        confused_words(material),
        _memory(material),
    )


def _memory(material: Material) -> list[Memory]:
    """Equal and unequal ones, nearest pictures first."""
    near = material.neighbours
    if near is None:
        return []
    told = [{tuple(scored_tokens(text, material.tokenizer)) for text in texts} for texts in near.captions]
    equal = np.array([tuple(tokens) in some for tokens, some in zip(material.said, told, strict=True)], np.bool_)
    found = []
    for name, marks in (("equals one of the nearest picture", equal), ("differs from all of them", ~equal)):
        places = np.flatnonzero(marks)
        places = places[np.argsort(-near.similarity[places], kind="stable")]
        cider = float(material.cider[places].mean()) if len(places) else 0.0
        found.append(Memory(name, places, len(places) / len(equal), cider))
    return found


def lines(found: Findings) -> Iterator[str]:
    """A handful of lines for a terminal."""
    if found.inventions:
        i, s = found.inventions.i, found.inventions.s
        told = "" if found.material.things and found.material.things.shown else " (by the references alone)"
        yield f"invented things{told}: CHAIR-i {i}, CHAIR-s {s}"
    worst = _worst(found.bins)
    if worst:
        name, one = worst
        yield f"worst: {name}, {one.label} ({len(one.pictures):,} pictures): CIDEr {one.scores['cider']}"
    if found.overused:
        words = ", ".join(
            f"{one.word} ({one.rate:.1f} per 1,000 words, people {one.people:.1f})" for one in found.overused[:3]
        )
        yield f"said too often: {words}"
    if found.confused_words:
        pairs = ", ".join(f"{one.said} for {one.meant} ({len(one.pictures):,})" for one in found.confused_words[:3])
        yield f"confused: {pairs}"
    if found.memory:
        equal = found.memory[0]
        yield f"memory: {100 * equal.share:.1f} % of the captions equal one of the nearest training picture's"


def _worst(bins: Sequence[Binned]) -> tuple[str, Bin] | None:
    scored = [(one.name, some) for one in bins if len(one.bins) > 1 for some in one.bins if "cider" in some.scores]
    return min(scored, key=lambda pair: pair[1].scores["cider"].value, default=None)
