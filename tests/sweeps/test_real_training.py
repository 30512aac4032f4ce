"""The real train.py under a sweep, on a few drawn pictures."""

import csv
import os
import re
import signal
import subprocess
import sys

import pytest
import torch
from tests.conftest import REPOSITORY, hopeless_trial, wait_until
from tests.sweeps.conftest import SweepCommand

from showtell.checkpointing.io import load_checkpoint
from showtell.run import Run

pytestmark = pytest.mark.slow
TINY = ["data.shapes.train_pictures=48", "data.shapes.val_pictures=8", "vocab=min1", "device=cpu"]
TINY += ["training.sample_pictures=2"]


@pytest.fixture
def sweep(tmp_path):
    return SweepCommand(tmp_path, REPOSITORY / "train.py")


def test_a_grid_of_debug_runs(sweep):
    words = [*TINY, "debug=fast", "decoder.hidden_size=16,32", "sweep.jobs=2"]
    first = sweep(*words)
    assert first.returncode == 0, first.stdout + first.stderr
    for size in (16, 32):
        run = next(sweep.runs.glob(f"*hidden_size-{size}*"))
        assert Run(run).status().state == "finished" and (run / "checkpoints" / "best.ckpt").is_file()
    # one store and one tokenized data set for both runs
    assert len(list((sweep.folder / "cache" / "features").glob("*train*/"))) == 1
    again = sweep(*words)
    assert again.returncode == 0 and "2 jobs: 2 skipped" in again.stdout


def test_a_run_of_a_sweep_is_the_run_that_one_starts_by_hand(sweep):
    words = [*TINY, "decoder.hidden_size=16", "training.max_epochs=2", "seed=3"]
    done = sweep(*words, "sweep.jobs=1")
    assert done.returncode == 0, done.stdout + done.stderr
    swept = next(sweep.runs.glob("*seed-3*"))
    by_hand = [sys.executable, sweep.script, *words, "name=by_hand", "hydra.run.dir=runs/by_hand/run"]
    environment = {**os.environ, **sweep.environment}
    plain = subprocess.run(by_hand, cwd=sweep.folder, env=environment, capture_output=True, text=True, check=True)
    run = sweep.folder / "runs" / "by_hand" / "run"
    for name in ("last", "best"):
        one, other = (load_checkpoint(folder / "checkpoints" / f"{name}.ckpt") for folder in (swept, run))
        assert one["global_step"] == other["global_step"] > 0
        assert one["state_dict"].keys() == other["state_dict"].keys()
        assert all(torch.equal(value, other["state_dict"][key]) for key, value in one["state_dict"].items())
    assert logged(swept) == logged(run) and len(logged(run)) > 2
    names = {path.relative_to(run) for path in run.rglob("*") if path.is_file() and "events" not in path.name}
    assert {path.relative_to(swept) for path in swept.rglob("*") if path.is_file()} >= names
    here = plain.stdout.replace("by_hand/run", f"{sweep.name}/{swept.name}").replace("by_hand", sweep.name)
    assert untimed((swept / "out.log").read_text()) == untimed(here)


def logged(run):
    """The rows of `metrics.csv` without what tells the time."""
    with (run / "metrics.csv").open() as file:
        return [{key: value for key, value in row.items() if "second" not in key} for row in csv.DictReader(file)]


def untimed(text):
    """Without times, and without the encoder's pass, which only the first of two runs makes."""
    lines = [re.sub(r"\d+ s$", "", line) for line in text.split("\n")]
    return [line for line in lines if not line.startswith("encoding ")]


def test_an_interrupted_sweep_saves_and_resumes_real_runs(sweep):
    words = [*TINY, "decoder.hidden_size=16", "seed=1,2", "sweep.jobs=2", "training.max_epochs=40"]
    process = sweep.start(*words)
    wait_until(lambda: sum((Run(p.parent).status().epoch or 0) > 0 for p in sweep.runs.glob("*/status.json")) == 2, 200)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 130 and sweep.processes() == {}, out
    stopped = [Run(path.parent).status() for path in sweep.runs.glob("*/status.json")]
    assert {status.state for status in stopped} == {"stopped"}
    again = sweep(*words)
    assert again.returncode == 0, again.stdout
    assert "resumed" in again.stdout and "2 jobs: 2 finished" in again.stdout
    assert {Run(path.parent).status().epoch for path in sweep.runs.glob("*/status.json")} == {40}


def test_a_hopeless_run_is_pruned(sweep):
    search, hopeless = hopeless_trial(sweep.folder)
    words = [*TINY, "decoder.hidden_size=16", "training.max_epochs=6", "hydra.run.dir=run"]
    environment = {**os.environ, **sweep.environment, **search.environment(hopeless)}
    command = [sys.executable, sweep.script, *words]
    done = subprocess.run(command, cwd=sweep.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    status = Run(sweep.folder / "run").status()
    assert (status.state, status.epoch) == ("pruned", 2)
    assert "worse than the median of the search at epoch 2" in status.reason
    assert len(search.study.trials[hopeless].intermediate_values) == 2
    assert (sweep.folder / "run" / "checkpoints" / "best.ckpt").is_file()
