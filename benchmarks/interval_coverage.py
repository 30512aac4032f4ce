"""Figure: how often 95% intervals hold the truth, and tests at 5% reject where there is nothing to find.

Pictures are drawn from a population whose scores are known: hard and easy ones, a CIDEr as skewed as a real one, n-gram
counts from which BLEU follows. 4,000 seeded draws of two systems on 200 pictures, and of two systems of five seeds
each on 100. Run: `python -m benchmarks interval_coverage [--draws N]`.
"""

import argparse
from collections import defaultdict

import numpy as np
from benchmarks.machine import report

from showtell.evaluation.groups import difference
from showtell.evaluation.resampling import bootstrap_p, randomization_p, samples
from showtell.evaluation.sums import Sums, bleu, mean

DRAWS, PICTURES, SEED_PICTURES, SEEDS = 4000, 200, 100, 5
NAMES = ("cider", "bleu4")
COVERED, REJECTED = (0.935, 0.965), (0.035, 0.065)


def system(rng: np.random.Generator, ease: np.ndarray, better: float = 0.0) -> list[Sums]:
    """One run on pictures of which each is more or less easy, `(P,)` between 0 and 1; `better` adds to its chances."""
    chance = np.clip(0.25 + 0.5 * ease + better, 0, 1)
    lengths = 8 + rng.poisson(2, len(ease))
    orders = [np.maximum(lengths - order, 0) for order in range(4)]
    matches = [rng.binomial(some, chance ** (1 + order)) for order, some in enumerate(orders)]
    closest = 9 + rng.binomial(2, 0.5, len(ease))
    cider = rng.gamma(1.2, 1.0, len(ease)) * (0.2 + ease) + better
    return [
        Sums(["cider"], np.column_stack([cider, np.ones(len(ease))]), mean),
        Sums(["bleu1", "bleu2", "bleu3", "bleu4"], np.column_stack([*matches, *orders, lengths, closest]), bleu),
    ]


def eases(rng: np.random.Generator, pictures: int) -> np.ndarray:
    return rng.beta(2, 3, pictures)


def truth(better: float) -> dict[str, float]:
    """The scores over ever more pictures."""
    rng = np.random.default_rng(10**6)
    found: dict[str, float] = {}
    for one in system(rng, eases(rng, 4_000_000), better):
        found |= dict(zip(one.names, one.formula(one.pictures.sum(0)), strict=True))
    return found


def of_pictures(draws: int) -> dict[str, float]:
    """Shares of draws: intervals of one system and of the difference of two, and tests of two that are alike."""
    better = 0.05
    whole, improved = truth(0), truth(better)
    hits: dict[str, int] = defaultdict(int)
    for draw in range(draws):
        rng = np.random.default_rng([1, draw])
        ease = eases(rng, PICTURES)
        runs = [system(rng, ease), system(rng, ease), system(rng, ease, better)]
        one, alike, best = samples(runs, seed=draw)
        swaps = randomization_p(runs[0], runs[1], seed=draw)
        for name in NAMES:
            low, high = one[name].interval().bounds
            hits[f"interval of {name}"] += low <= whole[name] <= high
            low, high = (best[name] - one[name]).interval().bounds
            hits[f"interval of a difference in {name}"] += low <= improved[name] - whole[name] <= high
            hits[f"paired bootstrap of {name}"] += bootstrap_p(one[name], alike[name]) < 0.05
            hits[f"randomization of {name}"] += swaps[name] < 0.05
    return {name: int(count) / draws for name, count in hits.items()}


def of_seeds(draws: int) -> dict[str, float]:
    """The same of two systems of several seeds each, better or worse by chance; each finds other pictures hard."""
    hits: dict[str, int] = defaultdict(int)
    for draw in range(draws):
        rng = np.random.default_rng([2, draw])
        ease = eases(rng, SEED_PICTURES)
        hard = [np.clip(ease + rng.normal(0, 0.1, SEED_PICTURES), 0, 1) for _ in range(2)]
        runs = [system(rng, own, rng.normal(0, 0.02)) for own in hard for _ in range(SEEDS)]
        drawn = samples(runs, 500, draw)
        groups = [{"": [run["cider"] for run in some]} for some in (drawn[:SEEDS], drawn[SEEDS:])]
        found = difference(*groups, {"": SEED_PICTURES})
        hits["interval of a difference in cider, 5 seeds each"] += found.low <= 0 <= found.high
        hits["t of cider, 5 seeds each"] += found.p < 0.05
    return {name: int(count) / draws for name, count in hits.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=DRAWS)
    draws = parser.parse_args().draws
    for name, share in (of_pictures(draws) | of_seeds(draws)).items():
        about, (low, high) = ("holds the truth", COVERED) if "interval" in name else ("at 5% rejects", REJECTED)
        target = f"{100 * low:g} to {100 * high:g}"
        report(f"{name}: {about}, {draws:,} draws", round(100 * share, 2), "%", target, low <= share <= high)


if __name__ == "__main__":
    main()
