"""The analysis of variance, on designs whose truth is known."""

from itertools import product

import numpy as np
import pytest

from showtell.evaluation.anova import Design
from showtell.evaluation.student import f_p, two_sided_p

GRID = list(product([100, 256, 512], ["high", "low"], range(3)))  # three seeds of each
FACTORS = {"size": [size for size, _, _ in GRID], "rate": [rate for _, rate, _ in GRID]}


def test_f_is_what_is_known_of_it():
    assert f_p(4, 2, 10) == pytest.approx(1.8**-5)  # with two degrees of freedom above it has this closed form
    assert f_p(2.5**2, 1, 7) == pytest.approx(two_sided_p(2.5, 7))
    assert f_p(0, 3, 8) == 1
    drawn = np.random.default_rng(0).f(5, 30, 200_000)
    for value in (0.4, 1, 2.5, 4):
        assert f_p(value, 5, 30) == pytest.approx((drawn >= value).mean(), abs=0.004)


def test_two_levels_are_a_t_test():
    ours, theirs = [0.31, 0.35, 0.33], [0.36, 0.39, 0.40]
    found = Design({"size": [1] * 3 + [2] * 3}).by_runs(np.array(ours + theirs))["size"]
    spread = np.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / 3)
    assert found.p == pytest.approx(two_sided_p((np.mean(theirs) - np.mean(ours)) / spread, 4))


def test_the_shares_are_those_of_a_hand_computation():
    scores = np.array([0.0, 2, 10, 12])  # size: 10 each, rate: 2 each, no interaction
    found = Design({"size": [1, 1, 2, 2], "rate": ["a", "b", "a", "b"]}).by_runs(scores)
    assert found["size"].share == pytest.approx(100 / 104) and found["rate"].share == pytest.approx(4 / 104)
    assert found["size"].p < 1e-6


def test_what_does_not_matter_is_called_significant_one_time_in_twenty():
    rng, design, draws = np.random.default_rng(1), Design(FACTORS), 2000
    true = np.array([{100: 0.0, 256: 0.02, 512: 0.05}[size] for size in FACTORS["size"]])
    found = [design.by_runs(true + rng.normal(0, 0.02, len(GRID))) for _ in range(draws)]
    assert 0.035 < np.mean([one["rate"].p < 0.05 for one in found]) < 0.065
    assert np.mean([one["size"].p < 0.05 for one in found]) > 0.9


def test_by_pictures_it_is_one_in_twenty_too():
    """Four rows of one seed, a hundred pictures that are hard or easy for all of them."""
    rng, factors = np.random.default_rng(2), {"size": [1, 1, 2, 2], "rate": ["a", "b", "a", "b"]}
    design, pictures, wrong, right, draws = Design(factors), 100, 0, 0, 1000
    counts = rng.multinomial(pictures, np.full(pictures, 1 / pictures), 400) / pictures
    for _ in range(draws):
        said = 0.5 + rng.normal(0, 0.3, (pictures, 1)) + rng.normal(0, 0.2, (pictures, 4)) + [0, 0, 0.1, 0.1]
        found = design.by_pictures(said.mean(0), counts @ said)
        wrong, right = wrong + (found["rate"].p < 0.05), right + (found["size"].p < 0.05)
    assert 0.03 < wrong / draws < 0.075 and right / draws > 0.9


def test_holes_in_a_grid_do_not_make_one_setting_look_like_another():
    """The large size was tried with the good rate mostly; by the plain means it would be better."""
    size, rate = [1, 1, 1, 1, 2, 2, 2, 2], ["bad", "bad", "bad", "good", "good", "good", "good", "bad"]
    noise = np.array([1, -1, 0, 0, 1, -1, 0, 0]) / 1000
    found = Design({"size": size, "rate": rate}).by_runs(np.array([0.1 * (one == "good") for one in rate]) + noise)
    assert found["rate"].p < 1e-6 and found["size"].p > 0.2


def test_a_setting_of_one_decoder_leaves_something_to_say_of_the_decoder():
    decoder = ["lstm", "lstm", "attention", "attention", "attention", "attention"]
    size = ["none", "none", "64", "64", "128", "128"]
    found = Design({"decoder": decoder, "size": size}).by_runs(np.array([0.1, 0.11, 0.3, 0.31, 0.3, 0.32]))
    assert found["decoder"].p < 0.001 and found["size"].p > 0.3


def test_what_never_changes_apart_has_no_effect_of_its_own():
    design = Design({"a": [1, 1, 2], "b": [1, 2, 2], "c": [1, 2, 1]})
    assert [basis.shape[1] for basis in design.effects.values()] == [0, 0, 0]
    assert design.by_pictures(np.arange(3.0), np.zeros((9, 3))) == {}
