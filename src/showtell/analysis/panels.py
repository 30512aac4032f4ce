"""The findings as rows that a page shows: what each is, in words, and the pictures that it is about."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from showtell.analysis.bins import SCORES, Binned
from showtell.analysis.confusions import Confusion
from showtell.analysis.findings import Findings
from showtell.analysis.material import Floats, Ints
from showtell.evaluation.resampling import Interval

MOST_ROWS = 60


@dataclass(frozen=True)
class Row:
    """A line of a panel: what its columns say, the pictures it is about, most telling first; an interval to draw."""

    cells: Sequence[str]
    pictures: Ints
    interval: Interval | None = None


@dataclass(frozen=True)
class Panel:
    """A table.

    Attributes:
        title: of the finding.
        hint: how it is read.
        columns: their heads.
        rows: at most `MOST_ROWS`.
        more: how many further rows there are.
    """

    title: str
    hint: str
    columns: Sequence[str]
    rows: Sequence[Row]
    more: int = 0


def panels(found: Findings) -> Iterator[Panel]:
    """Those that have something to tell."""
    for one in found.bins:
        if len(one.bins) > 1:
            yield _bins(one, found.material.cider)
    if found.memory:
        yield _table(
            "Is it memory?",
            "Captions that equal one of the nearest training picture, by the stored features, and of any other.",
            ("caption", "captions", "share", "CIDEr"),
            [(f.name, f.pictures, f.share, f.cider) for f in found.memory],
            lambda one: Row([one[0], f"{len(one[1]):,}", _percent(one[2]), f"{one[3]:.3f}"], one[1]),
        )
    if found.inventions and found.material.things:
        rows = found.inventions.things
        yield _table(
            "Invented things",
            f"Named by a caption, and not there. {found.material.things.source}",
            ("thing", "invented", "of said", "share"),
            rows,
            lambda one: Row(
                [one.thing, f"{one.invented:,}", f"{one.said:,}", _percent(one.invented / one.said)], one.pictures
            ),
        )
    for title, what, pairs in (
        ("Confused things", "things", found.confused_things),
        ("Confused words", "words", found.confused_words),
    ):
        yield _confusions(title, what, pairs)
    yield _table(
        "Said too often",
        "Words that captions say more often than people do of the same pictures; z: log-odds over their standard "
        "error. Examples: pictures of which nobody else says it.",
        ("word", "said", "per 1,000 words", "people", "z"),
        found.overused,
        lambda one: Row(
            [one.word, f"{one.said:,}", f"{one.rate:.1f}", f"{one.people:.1f}", f"{one.z:.1f}"], one.pictures
        ),
    )
    yield _table(
        "Never said",
        "Words that at least half of the references of a picture use, and no caption at all.",
        ("word", "pictures", *(["in training"] if found.material.training is not None else [])),
        found.unsaid,
        lambda one: Row(
            [one.word, f"{len(one.pictures):,}", *([] if one.training is None else [f"{one.training:,}"])], one.pictures
        ),
    )


def _bins(found: Binned, cider: Floats) -> Panel:
    heads = [label for key, label in SCORES.items() if key in found.bins[0].scores]
    hint = "95% intervals over the choice of pictures. Examples: worst first."
    if found.left_out:
        hint += f" {found.left_out:,} pictures have no such number."
    rows = [
        Row(
            [one.label, f"{len(one.pictures):,}", *(_score(one.scores[key]) for key in SCORES if key in one.scores)],
            one.pictures[np.argsort(cider[one.pictures], kind="stable")],
            one.scores.get("cider"),
        )
        for one in found.bins
    ]
    return Panel(found.name, hint, (found.unit, "pictures", *heads), rows)


def _confusions(title: str, what: str, pairs: Sequence[Confusion]) -> Panel:
    return _table(
        title,
        f"Captions say what no reference says, and lack what at least half of the references say. By chance: how often "
        f"wrong and missed {what} would meet.",
        ("said", "instead of", "pictures", "by chance"),
        pairs,
        lambda one: Row([one.said, one.meant, f"{len(one.pictures):,}", f"{one.expected:.1f}"], one.pictures),
    )


def _table(title: str, hint: str, columns: Sequence[str], found: Iterable[Any], row: Callable[[Any], Row]) -> Panel:
    every = list(found)
    return Panel(title, hint, columns, [row(one) for one in every[:MOST_ROWS]], max(0, len(every) - MOST_ROWS))


def _score(one: Interval) -> str:
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
