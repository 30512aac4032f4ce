"""Scores by a number of the pictures."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.analysis.conftest import material_of

from showtell.analysis.bins import Bin, Numbers, binned, cut, numbers
from showtell.analysis.material import Neighbours


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.integers(1, 8), st.integers(1, 20))
def test_bins_hold_every_picture_once_in_order_and_equal_numbers_together(
    values: list[int], most: int, least: int
) -> None:
    bins = cut(np.array(values), most, least)
    assert sorted(place for one in bins for place in one) == list(range(len(values)))
    held = [[values[place] for place in one] for one in bins]
    assert all(max(a) < min(b) for a, b in pairwise(held))
    assert len(bins) <= most
    assert len(bins) == 1 or all(len(one) >= least for one in bins)


def test_bins_are_of_about_one_size() -> None:
    assert [len(one) for one in cut(np.arange(600), 6, 10)] == [100] * 6


def test_a_bin_scores_as_its_pictures_do() -> None:
    texts = ["a dog runs on grass", "two cats sit on a wall", "a red bus", "a man eats a pizza at home"] * 10
    made = material_of(["a dog runs on grass"] * 40, [[text] for text in texts])
    found = binned(Numbers("n", "words", np.array([1.0, 2.0, 3.0, 4.0] * 10)), made.sums)
    assert [(one.low, one.high) for one in found.bins] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    for one in found.bins:
        score = one.scores["cider"]
        assert score.value == pytest.approx(made.cider[one.pictures].mean())
        assert score.low <= score.value + 1e-9 and score.value <= score.high + 1e-9
    assert found.bins[0].scores["bleu4"].value == pytest.approx(1)
    assert found.bins[2].scores["bleu4"].value < 0.1


def test_a_picture_without_the_number_is_left_out_and_counted() -> None:
    made = material_of(["a dog"] * 20, [["a dog"]] * 20)
    found = binned(Numbers("n", "words", np.array([np.nan] + [1.0] * 19)), made.sums)
    assert found.left_out == 1 and [one.pictures.tolist() for one in found.bins] == [list(range(1, 20))]


def test_the_numbers() -> None:
    near = Neighbours(np.array([0.5, 0.9]), ["x", "y"], [["a"], ["b"]])
    references = [["a brown dog", "a dog runs away now"], ["a cat", "the sky", "some bird"]]
    made = material_of(["a dog here", "a cat"], references, training={"a": 9, "dog": 3}, neighbours=near)
    found = {one.name.partition(":")[0]: one.values.tolist() for one in numbers(made)}
    assert found["Words of the references, mean"] == [4, 2]
    assert found["Words of the caption"] == [3, 2]
    # half of two people say "a", "brown", "dog", ...; of three no word but "a" could be said by half, and it is not
    rarest = found["Rarest word that half of the references use"]
    assert rarest[0] == 0 and np.isnan(rarest[1])
    assert found["Similarity to the nearest training picture"] == [0.5, 0.9]


def test_labels() -> None:
    places = np.array([0])
    assert Bin(8.0, 9.0, places, {}).label == "8 to 9"
    assert Bin(1200.0, 1200.0, places, {}).label == "1,200"
    assert Bin(0.8123, 0.9, places, {}).label == "0.812 to 0.900"
