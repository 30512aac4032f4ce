"""Intervals and ties of a leaderboard, from the statistics that runs store."""

import csv
import json

import numpy as np
import pytest
from benchmarks.leaderboard import write_run
from tests.evaluation.test_metrics import random_captions
from tests.evaluation.test_sums import worse

from showtell.evaluation.metrics import ReferenceCorpus
from showtell.evaluation.sums import Statistics, save_statistics
from showtell.leaderboard.__main__ import main
from showtell.leaderboard.compare import compare
from showtell.leaderboard.runs import find_runs
from showtell.run import Run

_, REFERENCES = random_captions(0, pictures=100)
PEOPLE = {picture: texts[0] for picture, texts in REFERENCES.items()}
CORPUS = ReferenceCorpus(REFERENCES)


def store(folder, captions, hidden, seed=1, signature="cider:1|tok:x|set:a"):
    """A run with these captions of its best epoch."""
    write_run(folder, {"decoder.hidden_size": hidden, "seed": seed})
    run, found = Run(folder), CORPUS.score(captions)
    run.predictions.mkdir()
    save_statistics(run.statistics("val"), Statistics(np.array(CORPUS.picture_ids), found.sums, signature, 1))
    status = json.loads(run.status_file.read_text())
    metrics = {**status["metrics"], "val/cider": found.corpus["cider"], "val/bleu4": found.corpus["bleu4"]}
    run.status_file.write_text(json.dumps({**status, "metrics": metrics}))


@pytest.fixture
def runs(tmp_path):
    store(tmp_path / "best", PEOPLE, 512)
    store(tmp_path / "close", worse(PEOPLE, 50), 256)
    store(tmp_path / "far", worse(PEOPLE, 1), 128)
    return tmp_path


def test_rows_that_cannot_be_told_from_the_best_are_marked(runs, capsys):
    assert main([str(runs), "--metric", "val/cider"]) == 0
    printed = capsys.readouterr().out
    assert "95% interval" in printed and "no, p = " in printed and "yes, p < 0.001" in printed
    best, close, far = csv.DictReader((runs / "leaderboard.csv").read_text().splitlines())
    assert float(best["val/cider low"]) < float(best["val/cider"]) < float(best["val/cider high"])
    assert best["p against best"] == "" and float(close["p against best"]) > 0.05 > float(far["p against best"])
    page = (runs / "leaderboard.html").read_text()
    assert "Rows that cannot be told from #1: 2." in page and 'data-head="differs from #1"' in page


def test_the_interval_is_of_the_metric_that_decides(runs):
    board = compare(find_runs([runs]), "val/bleu4")
    found = CORPUS.score(PEOPLE).corpus["bleu4"]
    assert board.chances[0].interval.value == pytest.approx(found)
    assert compare(find_runs([runs]), "val/loss").chances == {}


def test_seeds_make_the_interval_of_a_row_wider(tmp_path):
    captions = [random_captions(seed, pictures=100)[0] for seed in (1, 2, 3)]
    for seed, said in enumerate(captions):
        store(tmp_path / f"s{seed}", said, 512, seed=seed)
    (row,) = compare(find_runs([tmp_path]), "val/cider").chances.values()
    values = [CORPUS.score(said).corpus["cider"] for said in captions]
    assert row.interval.value == pytest.approx(np.mean(values)) and row.interval.seeds


def test_what_was_scored_on_other_pictures_or_captions_is_not_compared(runs):
    store(runs / "other", worse(PEOPLE, 20), 64, signature="cider:1|tok:x|set:b")
    file = Run(runs / "close").status_file  # a later epoch was better, and its statistics were never written
    status = json.loads(file.read_text())
    file.write_text(json.dumps({**status, "metrics": {**status["metrics"], "val/cider": 0.1}}))
    board = compare(find_runs([runs]), "val/cider")
    names = [row.runs[0].directory.name for row in board.rows]
    assert len(names) == 4 and {names[place] for place in board.chances} == {"best", "far"}
