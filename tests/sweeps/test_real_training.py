"""The real train.py under a sweep, on a few drawn pictures."""

import os
import signal
import subprocess
import sys

import pytest

from showtell.config import SweepConfig
from showtell.run_directory import read_status

from .conftest import REPOSITORY, SweepCommand, wait_until

pytestmark = pytest.mark.slow
TINY = [
    "data.shapes.train_pictures=48",
    "data.shapes.val_pictures=8",
    "vocab=min1",
    "device=cpu",
    "training.sample_pictures=2",
]


@pytest.fixture
def sweep(tmp_path):
    return SweepCommand(tmp_path, REPOSITORY / "train.py")


def test_a_grid_of_debug_runs(sweep):
    words = [*TINY, "debug=fast", "decoder.hidden_size=16,32", "sweep.jobs=2"]
    first = sweep(*words)
    assert first.returncode == 0, first.stdout + first.stderr
    for size in (16, 32):
        run = next(sweep.runs.glob(f"*hidden_size-{size}*"))
        assert read_status(run).state == "finished" and (run / "checkpoints" / "best.ckpt").is_file()
    # one store and one tokenized data set for both runs
    assert len(list((sweep.folder / "cache" / "features").glob("*train*/"))) == 1
    again = sweep(*words)
    assert again.returncode == 0 and "2 jobs: 2 skipped" in again.stdout


def test_an_interrupted_sweep_saves_and_resumes_real_runs(sweep):
    words = [*TINY, "decoder.hidden_size=16", "seed=1,2", "sweep.jobs=2", "training.max_epochs=40"]
    process = sweep.start(*words)
    wait_until(lambda: sum((read_status(p.parent).epoch or 0) > 0 for p in sweep.runs.glob("*/status.json")) == 2, 200)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 130 and sweep.processes() == {}, out
    stopped = [read_status(path.parent) for path in sweep.runs.glob("*/status.json")]
    assert {status.state for status in stopped} == {"stopped"}
    again = sweep(*words)
    assert again.returncode == 0, again.stdout
    assert "resumed" in again.stdout and "2 jobs: 2 finished" in again.stdout
    assert {read_status(path.parent).epoch for path in sweep.runs.glob("*/status.json")} == {40}


def test_a_hopeless_run_is_pruned(sweep):
    pytest.importorskip("optuna")
    from optuna.distributions import FloatDistribution

    from showtell.sweeps.search import Search, open_trial

    search = Search(sweep.folder, {"x": FloatDistribution(0, 1)}, [], SweepConfig(trials=5), "min", 1)
    *good, hopeless = [number for number, _ in search.proposals()]
    for number in good:
        trial = open_trial(search.path, number)
        for epoch in range(6):
            trial.report(1e-3, epoch)
        search.study.tell(number, 1e-3)
    command = [
        sys.executable,
        sweep.script,
        *TINY,
        "decoder.hidden_size=16",
        "training.max_epochs=6",
        "hydra.run.dir=run",
    ]
    environment = {**os.environ, **sweep.environment, **search.environment(hopeless)}
    done = subprocess.run(command, cwd=sweep.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    status = read_status(sweep.folder / "run")
    assert (status.state, status.epoch) == ("pruned", 2)
    assert "worse than the median of the search at epoch 2" in status.reason
    assert len(search.study.trials[hopeless].intermediate_values) == 2
    assert (sweep.folder / "run" / "checkpoints" / "best.ckpt").is_file()
