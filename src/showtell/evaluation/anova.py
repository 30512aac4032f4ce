"""Which of several factors matters: an analysis of variance of main effects, for designs with holes too.

Runs are compared whose factors (settings) have different levels (values). What a factor explains is what a linear model
of all factors explains beyond one without it, so that an unbalanced design is judged fairly (type II sums of squares).
A factor is not adjusted for one that refines it: each size of an attention belongs to one decoder, so knowing the size
leaves nothing to say of the decoder. Whether that is chance is asked of the spread that is left between the runs (F
test), or of resampled pictures, where too few runs are left to tell.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from showtell.evaluation.resampling import Floats
from showtell.evaluation.student import f_p

Levels = Sequence[Hashable]


@dataclass(frozen=True)
class Effect:
    """What a factor does: the share of the variance that it explains, and how often chance alone explains as much."""

    share: float
    p: float


class Design:
    """N runs and the levels of their factors.

    Attributes:
        effects: by factor an orthonormal basis `(N, degrees of freedom)` of what it explains beyond the others; none
            where it never changes apart from them.
        freedom: of the spread that all factors leave.
    """

    def __init__(self, factors: Mapping[str, Levels]) -> None:
        assert factors
        columns = {name: _columns(levels) for name, levels in factors.items()}
        count = len(next(iter(columns.values())))
        self._all = _basis(np.hstack([np.ones((count, 1)), *columns.values()]))
        self.freedom = count - self._all.shape[1]
        self.effects: dict[str, Floats] = {}
        for name, own in columns.items():
            others = [columns[other] for other in factors if not _refines(factors[other], factors[name])]
            self.effects[name] = _left(own, _basis(np.hstack([np.ones((count, 1)), *others])))

    def by_runs(self, scores: Floats) -> dict[str, Effect]:
        """The effects on `(N,)` scores, where chance is the spread that all factors leave between the runs."""
        assert self.freedom
        left = float(np.sum((scores - self._all @ (self._all.T @ scores)) ** 2)) / self.freedom
        total = float(np.sum((scores - scores.mean()) ** 2))
        found = {}
        for name, basis in self._told():
            explained = float(np.sum((basis.T @ scores) ** 2))
            if explained <= 1e-12 * total or not total:
                found[name] = Effect(0.0, 1.0)
                continue
            ratio = explained / basis.shape[1] / left if left > 1e-12 * total else 1e12
            found[name] = Effect(explained / total, f_p(ratio, basis.shape[1], self.freedom))
        return found

    def by_pictures(self, scores: Floats, resampled: Floats) -> dict[str, Effect]:
        """Likewise, where chance is the choice of pictures: `resampled` has `(R, N)` scores of resampled ones."""
        total = float(np.sum((scores - scores.mean()) ** 2))
        found = {}
        for name, basis in self._told():
            explained = float(np.sum((basis.T @ scores) ** 2))
            by_chance = np.sum(((resampled - scores) @ basis) ** 2, axis=1)
            p = (1 + np.count_nonzero(by_chance >= explained - 1e-12)) / (1 + len(resampled))
            found[name] = Effect(explained / total if total else 0.0, float(p))
        return found

    def _told(self) -> list[tuple[str, Floats]]:
        return [(name, basis) for name, basis in self.effects.items() if basis.shape[1]]


def _columns(levels: Levels) -> Floats:
    """`(N, levels)` which level each run has."""
    order = list(dict.fromkeys(levels))
    return np.array([[level == one for one in order] for level in levels], np.float64)


def _refines(one: Levels, other: Levels) -> bool:
    """Whether the one's level tells that of the other."""
    return len(set(zip(one, other, strict=True))) == len(set(one))


def _basis(columns: Floats) -> Floats:
    """An orthonormal basis of what columns span."""
    vectors, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(vectors[:, sizes > 1e-9 * np.sqrt(len(columns))], np.float64)


def _left(columns: Floats, others: Floats) -> Floats:
    return _basis(columns - others @ (others.T @ columns))
