"""What a sweep decides, of generated sweeps whose truth is known."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.test_sums import worse
from tests.leaderboard.test_chance import PEOPLE, store

from showtell.leaderboard.build import write_leaderboard
from showtell.leaderboard.compare import compare
from showtell.leaderboard.decides import sentences
from showtell.leaderboard.needed import rounded_up, seeds_needed, what_it_takes
from showtell.leaderboard.runs import ComparedRun
from showtell.run.status import RunStatus

METRIC = "val/cider"


def run(score, state="finished", seed=1, **settings):
    status = RunStatus(state=state, monitor=METRIC, mode="max", best=score, metrics={METRIC: score})
    names = {"hidden": "decoder.hidden_size", "rate": "training.learning_rate", "words": "vocab.threshold"}
    return ComparedRun(
        Path("nowhere"), status, {**{names[key]: value for key, value in settings.items()}, "seed": seed}
    )


def sweep(seeds, draw=0, effect=0.05):
    """Of the hidden size each doubling adds `effect`, the learning rate does nothing, a seed's deviation is 0.02."""
    rng = np.random.default_rng(draw)
    return [
        run(0.3 + effect * size + rng.normal(0, 0.02), seed=seed, hidden=64 * 2**size, rate=rate)
        for size, rate, seed in product(range(3), (0.001, 0.01), range(seeds))
    ]


def told(runs):
    return sentences(compare(runs, METRIC))


def test_the_setting_that_matters_is_told_from_the_one_that_does_not():
    first, second, method, *_ = told(sweep(seeds=3))
    assert first.startswith("decoder.hidden_size explains ") and "% of the variance of val/cider (p < 0.001)" in first
    assert first.endswith("best: 256.")
    assert second.startswith("training.learning_rate: chance would make such differences too (p = 0.")
    assert "18 runs" in method and "seed" in method and "2 settings (Holm)" in method


def test_where_smaller_is_better_the_best_is_the_smallest():
    runs = [ComparedRun(one.directory, one.status, one.parameters) for one in sweep(3)]
    for one in runs:
        object.__setattr__(one.status, "mode", "min")
    assert told(runs)[0].endswith("best: 64.")


def test_a_search_with_one_seed_groups_its_numbers_by_size():
    rng = np.random.default_rng(0)
    rates = 10 ** rng.uniform(-4, -2, 24)
    runs = [run(0.3 - abs(np.log10(rate) + 3) / 10 + rng.normal(0, 0.01), rate=float(rate)) for rate in rates]
    first, method, *_ = told(runs)
    assert "learning_rate explains" in first and " to " in first and "(one seed each)" in method


def test_few_runs_say_that_nothing_can_be_said_and_how_many_are_needed():
    (line,) = told([run(0.3, hidden=100), run(0.4, hidden=256)])
    assert line.startswith("Which setting matters cannot be told from 2 runs") and "three seeds" in line
    assert told([run(0.3, hidden=100, seed=seed) for seed in range(3)]) == []


def test_unfinished_runs_are_left_out_and_counted():
    runs = [*sweep(3), run(0.0, "pruned", hidden=64, rate=0.1), run(0.9, "failed", hidden=64, rate=0.1)]
    lines = told(runs)
    assert lines[:2] == told(sweep(3))[:2] and lines[-1] == "Left out of these sentences: 2 runs not finished."


def test_settings_that_change_together_are_one():
    scores = (0.3, 0.31, 0.4, 0.41)
    runs = [run(score, seed=place % 2, hidden=place // 2, words=place // 2 + 4) for place, score in enumerate(scores)]
    assert told(runs)[0].startswith("decoder.hidden_size with vocab.threshold explains 99%")


def test_how_many_seeds_a_difference_needs_is_what_the_t_test_needs():
    """By simulation: with the number that is told, eight in ten pairs of groups are told apart at 5%."""
    rng, count = np.random.default_rng(0), seeds_needed(0.01, 0.01**2)
    drawn = rng.normal(0, 0.01, (4000, 2, count)) + np.array([0, 0.01])[:, None]
    means, variances = drawn.mean(2), drawn.var(2, ddof=1)
    t = (means[:, 1] - means[:, 0]) / np.sqrt(variances.sum(1) / count)
    assert count == 17 and np.mean(t > 2.037) == pytest.approx(0.8, abs=0.03)  # 2.037: of 32 degrees of freedom
    assert seeds_needed(0.01, 0.01**2, by_pictures=0.01**2) is None  # more seeds do not help
    assert (rounded_up(1181), rounded_up(99), rounded_up(7.2)) == (1200, 99, 8)


def test_one_seed_each_is_judged_by_the_pictures_and_says_so(tmp_path, capsys):
    store(tmp_path / "best", PEOPLE, 512)
    store(tmp_path / "close", worse(PEOPLE, 50), 256)
    store(tmp_path / "far", worse(PEOPLE, 1), 128)
    board = write_leaderboard([tmp_path], tmp_path, METRIC)
    first, method, more = sentences(board)
    assert first.startswith("decoder.hidden_size matters (p = 0.001); best: 512")
    assert "what another seed would change is not known" in method
    assert (
        more.startswith("To tell #1 from #2, which differ by ") and "pictures; what seeds change comes on top" in more
    )
    printed = " ".join(capsys.readouterr().out.split())
    assert first in printed and more in printed
    assert "decoder.hidden_size matters (p = 0.001); best: 512" in (tmp_path / "leaderboard.html").read_text()
    assert "matters" not in (tmp_path / "leaderboard.csv").read_text()


def test_seeds_or_pictures_or_both_are_told_by_what_makes_the_variance():
    pictures, seeds = 1e-5, 1e-5  # variance of the difference, and between the seeds of a row
    assert what_it_takes(0.01, seeds, pictures, (3, 3), 100) == "one would need about 13 seeds each, or 170 pictures"
    assert what_it_takes(0.01, seeds, 2e-5, (3, 3), 100) == "one would need about 330 pictures"
    assert what_it_takes(0.01, 1e-4, 2e-5, (3, 3), 100).endswith("about 32 seeds each and 320 pictures")
    assert what_it_takes(1e-6, seeds, pictures, (3, 3), 100).startswith("one would need more than 1,000 seeds")
    assert what_it_takes(0.01, seeds, 0, (3, 3), 0) == "one would need about 3 seeds each"
    assert what_it_takes(0.01, None, 0, (1, 1), 0) == ""
