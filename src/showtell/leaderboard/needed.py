"""How many seeds or pictures it would take to tell the two best rows apart.

As many as show a difference of the size that is seen, by a t test at 5%, eight times in ten. The variance of the
difference has two parts, as in `evaluation.groups`: the choice of pictures, which shrinks with their number, and the
seeds, which shrink with theirs. How far seeds part is pooled over all rows, as two or three runs say little of it.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count as count_from
from math import ceil, floor, log10

import numpy as np

from showtell.evaluation.comparison import Comparison
from showtell.evaluation.groups import GroupScore
from showtell.evaluation.student import quantile
from showtell.leaderboard.compare import Leaderboard

_CONFIDENCE, _POWER = 0.95, 0.6  # two-sided 60% is one-sided 80%
_MOST_SEEDS, _MOST_PICTURES = 1_000, 10_000_000
_SURE_OF_SPREAD = 30  # from so many on the t distribution is the normal one
_MANY = 1e6


def needed(board: Leaderboard, places: Sequence[int]) -> Iterator[str]:
    """One sentence where the two best rows, by their places, are not told apart and it is known what would do."""
    if len(places) < 2:
        return
    first, second = (board.rows[place].score(board.metric) for place in places[:2])
    assert first and second
    difference = abs(first.mean - second.mean)
    known = board.chances.get(places[1]) if places[0] == 0 else None
    against = known.against_best if known else None
    if not difference or (against and against.is_told):
        return
    counts = (first.count, second.count)
    by_seeds = _seeds_variance(board, places)
    by_pictures = _pictures_variance(against) if known and against else 0.0
    pictures = known.pictures if known else 0
    found = what_it_takes(difference, by_seeds, by_pictures, counts, pictures)
    if found:
        yield f"To tell #{places[0] + 1} from #{places[1] + 1}, which differ by {difference:.4f}, {found}."


def what_it_takes(
    difference: float, by_seeds: float | None, by_pictures: float, counts: tuple[int, int], pictures: int
) -> str:
    """How many seeds or pictures, as the end of a sentence; empty where neither part is known.

    Args:
        difference: of two rows.
        by_seeds: variance between the seeds of a row; None where each has one.
        by_pictures: variance of the difference by the choice of pictures; 0 where it is not known.
        counts: the seeds of the two rows.
        pictures: that were scored.
    """
    room = (difference / _reach(_MANY)) ** 2
    one_each = "" if by_seeds is not None else "; what seeds change comes on top"
    ways = []
    if by_seeds and (seeds := seeds_needed(difference, by_seeds, by_pictures)):
        ways.append(f"about {seeds:,} seeds each")
    seen = (by_seeds or 0.0) * sum(1 / count for count in counts)
    if by_pictures and room > seen:
        more = by_pictures * pictures / (room - seen)
        if more <= _MOST_PICTURES:
            ways.append(f"{'' if ways else 'about '}{rounded_up(more):,} pictures")
    if ways:
        return f"one would need {', or '.join(ways)}{one_each}"
    if by_seeds and by_pictures:
        seeds, more = ceil(2 * by_seeds / (room / 2)), by_pictures * pictures / (room / 2)
        if seeds <= _MOST_SEEDS and more <= _MOST_PICTURES:
            return f"one would need about {rounded_up(seeds):,} seeds each and {rounded_up(more):,} pictures"
    if by_seeds or by_pictures:
        return f"one would need more than {_MOST_SEEDS:,} seeds or {_MOST_PICTURES:,} pictures"
    return ""


def seeds_needed(difference: float, variance: float, by_pictures: float = 0.0) -> int | None:
    """How many seeds each show a difference.

    Args:
        difference: of two means.
        variance: between the seeds of a setting.
        by_pictures: variance of the difference that more seeds leave.

    Returns:
        The number; None where a thousand are not enough.
    """
    room = (difference / _reach(_MANY)) ** 2 - by_pictures
    if room <= 0 or (many := ceil(2 * variance / room)) > _MOST_SEEDS:
        return None
    if many > _SURE_OF_SPREAD:
        return rounded_up(many)
    return next(
        count
        for count in count_from(2)
        if by_pictures + 2 * variance / count <= (difference / _reach(2 * count - 2)) ** 2
    )


@lru_cache
def _reach(freedom: float) -> float:
    """How many standard deviations a difference must measure."""
    return quantile(freedom, _CONFIDENCE) + quantile(freedom, _POWER)


def _seeds_variance(board: Leaderboard, places: Sequence[int]) -> float | None:
    """Between the runs of a row, pooled over rows; None where each has one."""
    squares, freedom = 0.0, 0
    for place in places:
        values = [value for run in board.rows[place].runs if (value := run.metric(board.metric)) is not None]
        squares += float(np.var(values)) * len(values)
        freedom += len(values) - 1
    return squares / freedom if freedom else None


def _pictures_variance(against: Comparison) -> float:
    """What of a difference's variance the choice of pictures makes."""
    found = against.difference
    assert isinstance(found, GroupScore)
    deviation = (found.high - found.low) / 2 / quantile(found.freedom)
    return found.picture_share * deviation**2


def rounded_up(value: float) -> int:
    """To two digits: 1,180 as 1,200."""
    unit: int = 10 ** max(0, floor(log10(max(value, 1))) - 1)
    return ceil(value / unit) * unit
