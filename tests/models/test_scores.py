import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from showtell.evaluation.metrics import score_captions
from showtell.models.scores import Scores, gather_candidates, merge_candidates

PICTURES = range(11)
REFERENCES = {i: [f"a dog number {i % 4} on grass", f"dog {i} runs on the red grass"] for i in PICTURES}
CANDIDATES = {i: f"a dog {i % 3} runs on grass" for i in PICTURES}

# what one of several processes does: captions every n-th picture of a list that is padded to a multiple of n
RANK = """
import json, sys
import os
from showtell.models.scores import gather_candidates
from showtell.evaluation.metrics import score_captions
from showtell.distributed import Ranks, process_group
rank, world, store, result = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
candidates, references = [{int(k): v for k, v in part.items()} for part in json.load(sys.stdin)]
os.environ["SHOWTELL_RENDEZVOUS"] = store
ids = sorted(candidates)
ids += ids[: -len(ids) % world]
mine = {i: candidates[i] for i in ids[rank::world]}
with process_group(Ranks(rank, world, rank, world), "cpu", 60):
    scores = score_captions(gather_candidates(mine), references)
json.dump([scores.corpus, list(scores.pictures.items())], open(f"{result}-{rank}", "w"))
"""


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


def shards(world):
    padded = [*PICTURES, *list(PICTURES)[: -len(PICTURES) % world]]
    return [{i: CANDIDATES[i] for i in padded[rank::world]} for rank in range(world)]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_merged_shards_are_the_whole_and_score_alike(world):
    merged = merge_candidates(shards(world))
    assert list(merged.items()) == list(CANDIDATES.items())
    assert score_captions(merged, REFERENCES) == score_captions(CANDIDATES, REFERENCES)


def test_the_first_part_wins():
    assert merge_candidates([{2: "a"}, {1: "b", 2: "c"}]) == {1: "b", 2: "a"}


def test_gathering_in_a_single_process():
    assert list(gather_candidates({2: "b", 1: "a"})) == [1, 2]


@pytest.mark.slow
def test_two_processes_score_like_one(tmp_path):
    def run(world):
        command = [sys.executable, "-c", RANK]
        paths = [str(tmp_path / f"store{world}"), str(tmp_path / f"result{world}")]
        source = Path(__file__).resolve().parents[2] / "src"
        env = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        ranks = [
            subprocess.Popen([*command, str(rank), str(world), *paths], stdin=subprocess.PIPE, env=env, text=True)
            for rank in range(world)
        ]
        for process in ranks:
            process.stdin.write(json.dumps([CANDIDATES, REFERENCES]))
            process.stdin.close()
        assert [process.wait(timeout=120) for process in ranks] == [0] * world
        return [(tmp_path / f"result{world}-{rank}").read_text() for rank in range(world)]

    (alone,) = run(1)
    assert run(2) == [alone, alone]
