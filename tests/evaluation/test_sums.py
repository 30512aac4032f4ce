"""What resampling, groups and stored statistics stand on: sums that give the very scores."""

import numpy as np
import pytest
from tests.evaluation.test_metrics import random_captions

from showtell.evaluation.groups import difference, score
from showtell.evaluation.metrics import ReferenceCorpus, score_captions
from showtell.evaluation.resampling import Sample, bootstrap_p, holm, randomization_p, samples
from showtell.evaluation.student import quantile, two_sided_p
from showtell.evaluation.sums import Statistics, load_statistics, save_statistics

KEYS = {"bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider"}


def test_a_resample_is_what_scoring_its_pictures_again_gives():
    """Of BLEU and ROUGE-L; CIDEr's document frequencies would be others, so its pictures' scores are averaged."""
    candidates, references = random_captions(0, pictures=30)
    found = score_captions(candidates, references)
    drawn = samples([found.sums], resamples=3, seed=5)[0]
    assert drawn.keys() == KEYS
    rng = np.random.default_rng(5)
    for place, picked in enumerate(rng.integers(30, size=(3, 30))):
        again = dict(enumerate(picked.tolist()))
        scored = score_captions(
            {n: candidates[p] for n, p in again.items()}, {n: references[p] for n, p in again.items()}
        )
        for key in KEYS - {"cider"}:
            assert drawn[key].resampled[place] == pytest.approx(scored.corpus[key], rel=1e-12)
        own = [found.pictures[p]["cider"] for p in again.values()]
        assert drawn["cider"].resampled[place] == pytest.approx(np.mean(own), rel=1e-12)
    assert {key: sample.value for key, sample in drawn.items()} == pytest.approx(
        {key: found.corpus[key] for key in KEYS}, rel=1e-12
    )


def test_runs_are_resampled_together_and_a_seed_repeats_them():
    candidates, references = random_captions(1)
    sums = score_captions(candidates, references).sums
    (one, same), (alone,) = samples([sums, sums], 200, 3), samples([sums], 200, 3)
    assert np.array_equal(one["bleu4"].resampled, same["bleu4"].resampled)
    np.testing.assert_allclose(one["bleu4"].resampled, alone["bleu4"].resampled, rtol=1e-12)
    assert not np.array_equal(samples([sums], 200, 4)[0]["bleu4"].resampled, alone["bleu4"].resampled)


def test_the_interval_of_a_mean_is_the_textbooks():
    scores = np.random.default_rng(0).normal(size=400)
    interval = Sample(0.0, scores[np.random.default_rng(1).integers(400, size=(4000, 400))].mean(1), 400).interval()
    half = 1.96 * scores.std() / 20
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.06)


def test_the_interval_of_few_pictures_is_wider():
    drawn = np.random.default_rng(0).normal(size=20_000)
    few, many = (Sample(0.0, drawn, pictures).interval() for pictures in (10, 10_000))
    assert many.high == pytest.approx(1.96, abs=0.05) and few.high == pytest.approx(2.262 * np.sqrt(10 / 9), abs=0.1)


def worse(candidates, every):
    """The captions, of which each `every`-th lost its second half."""
    halves = {p: " ".join(text.split()[: len(text.split()) // 2]) for p, text in candidates.items()}
    return {p: halves[p] if place % every == 0 else text for place, (p, text) in enumerate(candidates.items())}


def test_both_tests_tell_what_differs_from_what_does_not():
    _, references = random_captions(2, pictures=100)
    corpus = ReferenceCorpus(references)
    people = {picture: texts[0] for picture, texts in references.items()}
    good, bad = corpus.score(people), corpus.score(worse(people, 2))
    swaps = randomization_p(good.sums, bad.sums, 500)
    one, other = samples([good.sums, bad.sums], 500)
    assert swaps.keys() == KEYS
    for key in KEYS:
        assert swaps[key] < 0.01 and bootstrap_p(one[key], other[key]) < 0.01
    alike = randomization_p(good.sums, good.sums, 500)
    assert set(alike.values()) == {1.0} and bootstrap_p(one["cider"], one["cider"]) == 1.0


def test_swapping_is_exact_for_few_pictures():
    """Of two pictures on which one run is better by 1 each, half of the swaps do as much."""
    sums = score_captions({1: "a", 2: "a"}, {1: ["a"], 2: ["a"]}, ["rouge_l"]).sums
    none = score_captions({1: "b", 2: "b"}, {1: ["a"], 2: ["a"]}, ["rouge_l"]).sums
    assert randomization_p(sums, none, 4000)["rouge_l"] == pytest.approx(0.5, abs=0.03)


def test_holm_corrects_and_keeps_the_order():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}


def test_students_distribution_is_the_tables():
    assert [quantile(freedom) for freedom in (1, 4, 30)] == pytest.approx([12.7062, 2.77645, 2.04227], abs=1e-4)
    assert quantile(1e7) == pytest.approx(1.95996, abs=1e-4)
    assert two_sided_p(3.0, 7) == pytest.approx(0.019942, abs=1e-6)


def constant(values, resampled=(0.0, 0.0, 0.0)):
    """Runs whose pictures do not matter, unless `resampled` says how."""
    return [Sample(value, value + np.array(resampled), 100) for value in values]


def test_with_seeds_alone_a_group_is_students_t():
    found = score({"val": constant([1.0, 2.0, 3.0])}, {"val": 100})
    assert found.value == 2 and found.seeds and found.freedom == pytest.approx(2)
    assert found.high - 2 == pytest.approx(4.30265 / np.sqrt(3), abs=1e-4)


def test_two_groups_add_their_seeds_and_folds_average():
    one = {fold: constant([1.0, 2.0]) for fold in "ab"}
    other = {fold: constant([2.0, 3.0]) for fold in "ab"}
    found = difference(one, other, {"a": 50, "b": 50})
    # each fold's mean has the variance 1/2 / 2; two folds halve it, two groups double it
    assert found.value == -1 and found.freedom == pytest.approx(4)
    assert found.high - found.value == pytest.approx(quantile(4) * 0.5, rel=1e-6)


def test_what_is_hard_for_all_cancels_in_a_difference():
    shared = (-0.5, 0.0, 0.5)
    one, other = {"a": constant([1.0], shared)}, {"a": constant([0.5], shared)}
    found = difference(one, other, {"a": 50})
    assert (found.low, found.high) == (0.5, 0.5) and not found.seeds
    assert score(one, {"a": 50}).high > 1.5


def test_captions_that_differ_by_seed_are_not_counted_twice():
    """Runs whose pictures' scores are all independent: the mean's variance is a picture's over their number, once."""
    rng, variances = np.random.default_rng(0), []
    for values in rng.normal(size=(40, 5, 50)):
        picked = rng.integers(50, size=(300, 50))
        found = score({"a": [Sample(float(run.mean()), run[picked].mean(1), 50) for run in values]}, {"a": 50})
        variances.append(((found.high - found.value) / quantile(found.freedom)) ** 2)
    assert np.mean(variances) == pytest.approx(1 / 250, rel=0.35)


def test_statistics_come_back_from_their_file(tmp_path):
    candidates, references = random_captions(3)
    found = score_captions(candidates, references)
    ids = np.array(sorted(references))
    save_statistics(tmp_path / "s.npz", Statistics(ids, found.sums, "cider:1|x", 7))
    back = load_statistics(tmp_path / "s.npz")
    assert back is not None and back.epoch == 7 and back.signature == "cider:1|x" and (back.picture_ids == ids).all()
    again, first = samples([back.sums], 50)[0], samples([found.sums], 50)[0]
    assert all(np.array_equal(again[key].resampled, first[key].resampled) for key in KEYS)
    (tmp_path / "s.npz").write_bytes((tmp_path / "s.npz").read_bytes()[:300])
    assert load_statistics(tmp_path / "s.npz") is None and load_statistics(tmp_path / "none") is None
