import csv

import pytest

from showtell.models.scores import Scores


class Module:
    """Takes the place of Lightning's module where a callback only reads captions and logs."""

    def __init__(self, captions):
        self.captions = captions
        self.logged = {}

    def log_dict(self, values):
        self.logged |= values


def scored(captions, references, training=None, judge=None):
    module = Module(captions)
    Scores(references, lambda: training or {}, judge).on_validation_epoch_end(None, module)
    return module.logged


def test_what_reviewers_ask_for_is_logged():
    captions = {1: "a dog runs", 2: "a dog runs", 3: "a cat sits on a", 4: "the big big tree"}
    references = {picture: ["a dog runs on grass", "a tree"] for picture in captions}
    logged = scored(captions, references, training={7: ["A dog runs.", "Something else."]})
    assert logged["val/distinct"] == 0.75
    assert logged["val/novel"] == 0.5
    assert logged["val/vocabulary"] == 9
    assert logged["val/mean_length"] == pytest.approx((3 + 3 + 5 + 4) / 4)
    assert logged["val/bad_endings"] == 0.25
    assert logged["val/repeated_words"] == 0.25


def test_the_judge_hears_all_captions():
    logged = scored({1: "x", 2: "y"}, {1: ["a"], 2: ["b"]}, judge=lambda captions: {"true": len(captions) / 4})
    assert logged["val/true"] == 0.5


def test_without_training_captions_novelty_is_not_logged():
    module = Module({1: "a dog"})
    Scores({1: ["a dog"]}, lambda: None).on_validation_epoch_end(None, module)
    assert "val/novel" not in module.logged and module.logged["val/distinct"] == 1


def test_no_captions_no_scores():
    assert scored({}, {1: ["a"]}) == {}


@pytest.mark.parametrize("training", [{7: ["A dog runs."]}, None])
def test_the_names_are_known_before_the_first_validation(training):
    def judge(captions):
        return {"true": 1.0}

    references = {1: ["a dog runs"], 2: ["a cat"]}
    module = Module({1: "a dog", 2: "a dog"})
    scores = Scores(references, lambda: training, judge)
    names = scores.metric_names()
    scores.on_validation_epoch_end(None, module)
    assert names == module.logged.keys()


def test_a_run_logs_them(tiny_run):
    with (tiny_run / "metrics.csv").open() as file:
        row = [row for row in csv.DictReader(file) if row["val/cider"]][-1]
    assert {"val/novel", "val/vocabulary", "val/mean_length", "val/repeated_words", "val/bad_endings"} <= row.keys()
