"""What raters saved, and what it says: how often A is preferred, and how far raters agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from showtell.data.annotations import AnnotationFile
from showtell.data.paths import counted, shown
from showtell.errors import UserError
from showtell.evaluation.resampling import RESAMPLES, SEED, Interval, samples
from showtell.evaluation.sums import Sums, mean
from showtell.rate.seal import unseal
from showtell.run.status import read_object

KIND = "showtell ratings"
CHOICES = ("left", "right", "equal")
LEAST_PICTURES = 20
"""Of fewer, resampling knows too little: where three of three are alike, so are all resamples."""
A_BETTER, EQUAL, B_BETTER = 1.0, 0.5, 0.0
Votes = Mapping[int, float]
"""By the picture's place on the page: 1: A's caption is better, 0: B's, 0.5: neither."""


@dataclass(frozen=True)
class Rating:
    """What one person said about the pictures of one page."""

    file: Path
    rater: str
    session: str
    page: str
    systems: tuple[str, str]
    pictures: int
    identical: int
    votes: Votes


def read_rating(file: Path) -> Rating:
    """Reads what the page saved.

    Raises:
        UserError: it is not that, or was changed; one line.
    """
    source = AnnotationFile(file)
    content = source.any_json(source.text())
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise UserError(f"{shown(file)}: holds no ratings; give the files that the rating page saved")
    try:
        return _rating(file, content)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise UserError(f"{shown(file)}: was changed since the rating page saved it; save it there again") from None


def _rating(file: Path, content: Mapping[str, Any]) -> Rating:
    page = str(content["page"])
    hidden = unseal(content["seal"], page)
    swapped = hidden["swapped"]
    votes = {}
    for place, choice in content["answers"].items():
        if choice not in CHOICES or int(place) not in range(len(swapped)):
            raise ValueError(choice)
        # on the left is A's caption, or swapped B's
        votes[int(place)] = EQUAL if choice == "equal" else float((choice == "left") != swapped[int(place)])
    first, second = hidden["systems"]
    rater, session = str(content.get("rater", "")), str(content.get("session", ""))
    return Rating(file, rater, session, page, (first, second), len(swapped), int(hidden["identical"]), votes)


@dataclass(frozen=True)
class Verdict:
    """What ratings say together.

    Attributes:
        systems: A and B.
        raters: how many people rated.
        rated: pictures that somebody rated, identical captions apart.
        shown: pictures on the page.
        identical: pictures whose captions are the same, in proportion to those rated; ties.
        win: how often A's caption is preferred, ties as half; averaged over the raters of a picture.
        a, b, ties: shares of the pictures, likewise.
        alpha: Krippendorff's, over pictures that several people rated; None: there are none.
        agreed: the share of pairs of raters of a picture who said the same; None likewise.
    """

    systems: tuple[str, str]
    raters: int
    rated: int
    shown: int
    identical: int
    win: Interval
    a: float
    b: float
    ties: float
    alpha: float | None
    agreed: float | None


def verdict(ratings: Sequence[Rating], resamples: int = RESAMPLES, seed: int = SEED) -> Verdict:
    """Takes ratings of one page together.

    Raises:
        UserError: they are of several pages, of one person twice, or say nothing; one line.
    """
    first = ratings[0]
    for place, one in enumerate(ratings):
        if one.page != first.page:
            raise UserError(f"{shown(one.file)}: is of another page than {shown(first.file)}; give those of one")
        twin = next((some for some in ratings[:place] if one.session and some.session == one.session), None)
        if twin:
            raise UserError(f"{shown(one.file)}: is of the same rater as {shown(twin.file)}; give the later one alone")
        if not one.votes:
            raise UserError(f"{shown(one.file)}: rates no picture; leave it out")
    places = sorted({place for one in ratings for place in one.votes})
    said = [[one.votes[place] for one in ratings if place in one.votes] for place in places]
    identical = round(first.identical * len(places) / first.pictures)  # as many as belong to what is rated by now
    said += [[EQUAL]] * identical
    kinds = (A_BETTER, B_BETTER, EQUAL)
    shares = np.array([[np.mean([vote == kind for vote in some]) for kind in kinds] for some in said])
    wins = shares[:, 0] + shares[:, 2] / 2
    sums = Sums(("win",), np.stack([wins, np.ones(len(wins))], 1), mean)
    win = samples([[sums]], resamples, seed)[0]["win"].interval()
    several = [some for some in said if len(some) > 1]
    a, b, ties = (float(share) for share in shares.mean(0))
    return Verdict(
        first.systems, len(ratings), len(places), first.pictures, identical, win, a, b, ties,
        krippendorff_alpha(several), _agreed(several),
    )  # fmt: skip


def krippendorff_alpha(votes: Sequence[Sequence[float]]) -> float | None:
    """Krippendorff's alpha of nominal votes, whoever of the raters cast them (Hayes & Krippendorff, 2007).

    1: all agree; 0: as chance would; below: worse.

    Args:
        votes: of each unit that several people rated.

    Returns:
        None where nobody rated what another did, or all votes are one kind: then there is nothing to agree upon.
    """
    kinds = sorted({vote for some in votes for vote in some})
    pairs = np.zeros((len(kinds), len(kinds)))
    for some in votes:
        if len(some) > 1:
            counts = np.array([list(some).count(kind) for kind in kinds], np.float64)
            pairs += (np.outer(counts, counts) - np.diag(counts)) / (len(some) - 1)
    totals, all_votes = pairs.sum(0), pairs.sum()
    expected = (all_votes**2 - (totals**2).sum()) / max(1.0, all_votes - 1)
    if not expected:
        return None
    return float(1 - (all_votes - np.trace(pairs)) / expected)


def _agreed(votes: Sequence[Sequence[float]]) -> float | None:
    same = [a == b for some in votes for a, b in combinations(some, 2)]
    return sum(same) / len(same) if same else None


def lines(found: Verdict) -> list[str]:
    """What a terminal says."""
    a, b = (shown(name) for name in found.systems)
    people = "1 person" if found.raters == 1 else f"{found.raters} people"
    same = f"; {found.identical:,} with identical captions count as ties" if found.identical else ""
    win = found.win
    told = [
        f"A: {a}",
        f"B: {b}",
        f"{found.rated:,} of {counted(found.shown, 'picture')} rated by {people}{same}",
        f"A preferred {_percent(found.a)}, B preferred {_percent(found.b)}, equal {_percent(found.ties)}",
        f"A's win rate, ties as half: {_percent(win.value)} [{_percent(win.low)}, {_percent(win.high)}] "
        f"(95%, pictures resampled): {_in_words(found)}",
    ]
    if found.raters > 1:
        told.append(_agreement(found))
    return told


def _agreement(found: Verdict) -> str:
    if found.agreed is None:
        return "agreement: no picture was rated by several people"
    if found.alpha is None:
        return "agreement: all said the same of every picture, so there was nothing to agree upon"
    words = (
        "they can be relied on" if found.alpha >= 0.8
        else "good enough for tentative conclusions" if found.alpha >= 0.667
        else "better than chance, too little to rely on single judgements" if found.alpha > 0
        else "no better than chance"
    )  # fmt: skip
    return (
        f"agreement: two raters said the same {_percent(found.agreed)} of the time; Krippendorff's alpha "
        f"{found.alpha:.2f}: {words}"
    )


def _in_words(found: Verdict) -> str:
    if found.rated < LEAST_PICTURES:
        return f"too few to tell, {LEAST_PICTURES} pictures are the least"
    if found.win.low > 0.5:
        return "A is preferred"
    return "B is preferred" if found.win.high < 0.5 else "chance alone could do this"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def is_rating(file: Path) -> bool:
    """Whether a file looks like what the page saved, and not like captions."""
    return read_object(file).get("kind") == KIND
