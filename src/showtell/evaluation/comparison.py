"""Whether one system is better than another: two runs on the same pictures, or two groups of runs.

Two single runs are compared by the paired bootstrap over pictures (interval, p) and by approximate randomization (p);
groups by `groups.difference`, whose t covers the seeds as well. Of several comparisons each p value is corrected by
Holm's method.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from showtell.evaluation.groups import Folds, difference, score
from showtell.evaluation.resampling import Interval, Sample, bootstrap_p, holm

LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """A system against another.

    Attributes:
        system: its name.
        difference: how much more it scores than the other.
        tests: p values by the name of the test; the first one decides.
        corrected: that one after Holm's correction over all comparisons; None where there is a single one.
    """

    system: str
    difference: Interval
    tests: Mapping[str, float] = field(default_factory=dict)
    corrected: float | None = None

    @property
    def p(self) -> float:
        """What decides."""
        return self.corrected if self.corrected is not None else next(iter(self.tests.values()))

    @property
    def is_told(self) -> bool:
        """Whether the two can be told apart at 5%."""
        return self.p < LEVEL

    @property
    def text_of_p(self) -> str:
        """`p = 0.031`."""
        return p_text(self.p)

    def __str__(self) -> str:
        value = self.difference
        return f"{value.value:+.4f} [{value.low:+.4f}, {value.high:+.4f}] {p_text(self.p)}"


def p_text(p: float) -> str:
    """`p = 0.031`; nothing smaller than a thousandth is told apart."""
    return f"p = {p:.3f}" if p >= 0.0005 else "p < 0.001"


def interval(group: Folds, pictures: Mapping[str, int]) -> Interval:
    """Of a single run the percentile interval over pictures, else that of the group."""
    single = _single(group)
    return single.interval() if single else score(group, pictures)


def compared(
    system: str, ours: Folds, theirs: Folds, pictures: Mapping[str, int], swaps: float | None = None
) -> Comparison:
    """A system against another, `swaps` being the p value of approximate randomization where it was made."""
    one, other = _single(ours), _single(theirs)
    if one is None or other is None:
        found = difference(ours, theirs, pictures)
        return Comparison(system, found, {"t": found.p})
    tests = {"bootstrap": bootstrap_p(one, other)} | ({} if swaps is None else {"randomization": swaps})
    return Comparison(system, (one - other).interval(), tests)


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """With Holm's correction where there are several."""
    if len(comparisons) < 2:
        return list(comparisons)
    values = holm({str(place): next(iter(one.tests.values())) for place, one in enumerate(comparisons)})
    return [replace(one, corrected=p) for one, p in zip(comparisons, values.values(), strict=True)]


def _single(group: Folds) -> Sample | None:
    """The run of a group that has only one."""
    (one, *more), *others = group.values()
    return None if more or others else one
