"""What a sweep decides, in sentences: which setting matters, and which differences chance makes too.

The settings' main effects are told from chance by an analysis of variance over the finished runs; what settings do only
together counts as chance. Chance is what runs differ by that these effects do not explain: seeds, where a row has
several. Where one seed each leaves too few runs to tell that, it is the choice of pictures alone, from the statistics
that runs store, and the sentences say so.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from showtell.evaluation.anova import Design
from showtell.evaluation.comparison import LEVEL, p_text
from showtell.evaluation.resampling import Floats, holm
from showtell.leaderboard.compare import Leaderboard, shown
from showtell.leaderboard.needed import needed
from showtell.leaderboard.runs import ComparedRun, Value

FINISHED = "finished"
LEAST_FREEDOM = 4  # below, runs of one seed each say too little of chance
GROUPS = 3  # of a number that a search drew anew for nearly every run

Factors = Mapping[str, Sequence[str]]
"""By setting, or settings that change together, its values in each run."""


def sentences(board: Leaderboard) -> list[str]:
    """What the finished runs decide; empty where no setting varies among them."""
    places = [place for place, row in enumerate(board.rows) if row.state == FINISHED and row.score(board.metric)]
    runs = [run for place in places for run in board.rows[place].runs if run.metric(board.metric) is not None]
    factors = _factors(board.parameters, runs)
    if not factors:
        return []
    told = [*_settings(board, places, runs, factors), *needed(board, places)]
    left_out = len(board.runs) - len(runs)
    return [*told, *([f"Left out of these sentences: {_runs(left_out)} not finished."] if left_out else [])]


def _settings(
    board: Leaderboard, places: Sequence[int], runs: Sequence[ComparedRun], factors: Factors
) -> Iterator[str]:
    design = Design(factors)
    scores = np.array([run.metric(board.metric) for run in runs], np.float64)
    repeated = len(runs) > len(places)
    drawn = None if repeated else _resampled(board, places)
    by_runs = bool(design.freedom) and (repeated or design.freedom >= LEAST_FREEDOM)
    if by_runs:
        effects = design.by_runs(scores)
    elif drawn is not None:
        effects = design.by_pictures(scores, drawn)
    else:
        yield (
            f"Which setting matters cannot be told from {_runs(len(runs))}, one seed each; train three seeds of each "
            "or more, as in seed=1,2,3."
        )
        return
    corrected = holm({name: effect.p for name, effect in effects.items()})
    for name, p in sorted(corrected.items(), key=lambda pair: pair[1]):
        if p >= LEVEL:
            yield f"{name}: {'chance' if by_runs else 'other pictures'} would make such differences too ({p_text(p)})."
            continue
        does = f"explains {effects[name].share:.0%} of the variance of {board.metric}" if by_runs else "matters"
        best = _best_level(scores, design.effects[name], factors[name], board.mode)
        yield f"{name} {does} ({p_text(p)}); best: {best}."
    for name in [name for name in factors if name not in effects]:
        yield f"{name}: never changed apart from the others, so what it does cannot be told."
    yield _method(len(runs), len(corrected), by_runs, repeated)


def _method(runs: int, tests: int, by_runs: bool, repeated: bool) -> str:
    holm_told = f", corrected for {tests} settings (Holm)" if tests > 1 else ""
    if not by_runs:
        return (
            f"p: over the choice of pictures alone (bootstrap){holm_told}; what another seed would change is not "
            "known: train several of each, as in seed=1,2,3."
        )
    chance = "runs that differ by their seed" if repeated else "what these settings leave (one seed each)"
    return f"p: analysis of variance of {runs} runs, main effects against {chance}{holm_told}."


def _resampled(board: Leaderboard, places: Sequence[int]) -> Floats | None:
    """`(R, N)` each row's score over resampled pictures; None where a row has no statistics."""
    known = [board.chances.get(place) for place in places]
    drawn = [one.resampled for one in known if one is not None]
    return np.stack(drawn, axis=1) if drawn and len(drawn) == len(known) else None


def _factors(parameters: Sequence[str], runs: Sequence[ComparedRun]) -> dict[str, Sequence[str]]:
    """The values of what varies among the runs; what always changes together is one factor."""
    together: dict[tuple[int, ...], list[str]] = {}
    values: dict[str, list[str]] = {}
    for key in parameters:
        levels = _levels([run.parameters.get(key) for run in runs])
        order = list(dict.fromkeys(levels))
        if len(order) > 1:
            values[key] = levels
            together.setdefault(tuple(order.index(level) for level in levels), []).append(key)
    return {" with ".join(keys): values[keys[0]] for keys in together.values()}


def _levels(values: Sequence[Value]) -> list[str]:
    """The values as text; numbers that hardly repeat, as a search draws them, as three groups by size."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    distinct = sorted(set(numbers))
    if len(numbers) < len(values) or len(values) < GROUPS**2 or len(distinct) * GROUPS <= len(values):
        return ["none" if value is None else shown(value) for value in values]
    ranks = np.searchsorted(np.sort(numbers), numbers) * GROUPS // len(numbers)
    found = []
    for rank in ranks:
        own = [number for number, other in zip(numbers, ranks, strict=True) if other == rank]
        found.append(f"{shown(min(own))} to {shown(max(own))}")
    return found


def _best_level(scores: Floats, basis: Floats, levels: Sequence[str], mode: str) -> str:
    """The value whose runs score best, the other settings being equal."""
    adjusted = basis @ (basis.T @ scores)
    means = {one: float(adjusted[[level == one for level in levels]].mean()) for one in dict.fromkeys(levels)}
    return (min if mode == "min" else max)(means, key=means.__getitem__)


def _runs(count: int) -> str:
    return f"{count:,} run{'' if count == 1 else 's'}"
