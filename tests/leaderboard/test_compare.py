import math
from pathlib import Path

import pytest
from benchmarks.leaderboard import write_run

from showtell.config import parse
from showtell.config.setting import flat
from showtell.config.stages import with_recipe_of_second
from showtell.leaderboard.compare import compare, varying
from showtell.leaderboard.runs import ComparedRun, find_runs
from showtell.run.status import RunStatus


def run(name="r", state="finished", best=1.0, metrics=None, mode="min", **parameters):
    status = RunStatus(state=state, best=best, metrics=metrics or {}, mode=mode, epoch=3, seconds=10)
    keys = {key.replace("__", "."): value for key, value in parameters.items()}
    return ComparedRun(Path(name), status, {"seed": 1, "vocab.threshold": 4, **keys})


def test_runs_that_differ_by_seed_are_one_row_with_mean_deviation_and_number():
    board = compare(
        [run(seed=1, best=1.0), run(seed=2, best=2.0), run(seed=3, best=4.5), run(vocab__threshold=8, best=9.0)]
    )
    assert board.parameters == ["vocab.threshold"]
    score = board.rows[0].score("val/loss")
    assert (score.mean, score.count) == (2.5, 3)
    assert score.deviation == pytest.approx(math.sqrt((2.25 + 0.25 + 4.0) / 2))  # n - 1
    assert board.rows[1].score("val/loss").deviation is None


def test_a_loss_ranks_upwards_and_a_score_downwards():
    runs = [run(vocab__threshold=1, best=2.0, metrics={"val/cider": 0.9}), run(best=1.0, metrics={"val/cider": 0.5})]
    assert [row.parameters["vocab.threshold"] for row in compare(runs).rows] == [4, 1]
    assert [row.parameters["vocab.threshold"] for row in compare(runs, "val/cider").rows] == [1, 4]


def test_a_cut_run_is_not_averaged_with_finished_ones():
    board = compare([run(best=1.0), run(seed=2, best=0.5, state="failed")])
    assert [(row.state, len(row.runs)) for row in board.rows] == [("failed", 1), ("finished", 1)]


@pytest.mark.parametrize("best", [None, float("nan"), float("inf")])
def test_a_run_without_a_finite_value_is_last(best):
    board = compare([run(best=best, vocab__threshold=1), run(best=3.0)])
    assert [row.parameters["vocab.threshold"] for row in board.rows] == [4, 1]
    assert board.rows[1].score("val/loss") is None


def test_only_what_varies_and_is_no_echo_of_a_choice_becomes_a_column():
    coco = {"data__name": "coco", "data__root": "/c", "encoder__name": "a"}
    flickr = {"data__name": "flickr", "data__root": "/f", "encoder__name": "a"}
    assert varying([run(**coco), run(**flickr), run(seed=2, cache="elsewhere", **flickr)]) == ["data.name"]
    # in other sections two parameters that move together are both shown: nobody knows which of them matters
    both = varying(
        [run(decoder__hidden_size=1, decoder__dropout=0.1), run(decoder__hidden_size=2, decoder__dropout=0.2)]
    )
    assert both == ["decoder.hidden_size", "decoder.dropout"]


def test_true_is_not_one_and_text_is_not_a_number():
    assert len(compare([run(x=1), run(x=True), run(x="1"), run(x=1.0)]).rows) == 4


def test_finding_runs(tmp_path):
    write_run(tmp_path / "a" / "one", {"seed": 1})
    write_run(tmp_path / "a" / "two", {"seed": 2}, state="failed")
    write_run(tmp_path / "broken", {"seed": 3})
    (tmp_path / "broken" / "status.json").write_text('{"state": ')
    write_run(tmp_path / "strange", {"seed": 3})
    (tmp_path / "strange" / "config.yaml").write_text("[1, 2")
    (tmp_path / "empty").mkdir()
    found = find_runs([tmp_path, tmp_path / "a", tmp_path / "a" / "one"])
    assert [(run.directory.name, run.seed, run.status.state) for run in found] == [
        ("one", 1, "finished"),
        ("two", 2, "failed"),
    ]


def test_a_curve_leaves_out_what_is_no_number(tmp_path):
    write_run(tmp_path, {})
    (tmp_path / "metrics.csv").write_text("step,epoch,train/loss,val/loss\n1,0,3,\n2,0,,2.5\n4,1,,nan\n6,2,,1.5\n")
    (found,) = find_runs([tmp_path])
    assert found.curve("val/loss") == ([1, 3], [2.5, 1.5])
    (tmp_path / "metrics.csv").unlink()
    (found,) = find_runs([tmp_path])
    assert found.curve("val/loss") == ([], [])


@pytest.mark.parametrize("broken", ["", "[1]", '{"scores": 3}'])
def test_scores_of_the_test_split_are_compared_where_a_run_has_them(tmp_path, broken):
    for seed, content in enumerate(('{"scores": {"cider": 0.75, "bleu4": null}}', broken)):
        write_run(tmp_path / str(seed), {"seed": seed, "decoder.hidden_size": 8 + seed})
        (tmp_path / str(seed) / "test.scores.json").write_text(content)
    board = compare(find_runs([tmp_path]), "test/cider")
    assert [run.metric("test/cider") for run in board.runs] == [0.75, None] and board.mode == "max"
    assert board.runs[0].metric("test/bleu4") is None
    assert {"test/cider", "val/cider"} <= set(board.metrics)


def judged_by(monitor, **metrics):
    status = RunStatus(state="finished", monitor=monitor, mode="max", best=metrics[monitor], metrics=metrics)
    return ComparedRun(Path("r"), status, {"seed": 1})


def test_where_some_runs_know_no_mean_the_metric_itself_decides():
    mean, old = "val/cider_mean", judged_by("val/cider", **{"val/cider": 0.3})
    new = judged_by(mean, **{mean: 0.4, "val/cider": 0.5})
    assert compare([new, new]).metric == mean
    board = compare([new, old, new])
    assert (board.metric, board.mode) == ("val/cider", "max")
    assert {run.metric("val/cider") for run in board.runs} == {0.5, 0.3}


def test_a_second_stage_is_told_by_what_varies_in_it():
    def parameters(**second):
        config = with_recipe_of_second(parse({"then": "scst", "second": second}))
        return ComparedRun(Path("r"), RunStatus(), flat(config.as_dict()))

    rates = [parameters(training={"learning_rate": rate}) for rate in (0.1, 0.2)]
    assert varying(rates) == ["second.training.learning_rate"]
    assert varying([*rates, ComparedRun(Path("r"), RunStatus(), flat(parse({}).as_dict()))])[0] == "then"
