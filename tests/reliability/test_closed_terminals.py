"""A terminal that is closed while a run trains in it: the run saves its present step, and ends as after SIGHUP.

`pytest -m "slow or not slow" tests/reliability/test_closed_terminals.py` closes 60 terminals at random moments.
"""

import random
import time
from pathlib import Path

import pytest
from tests.conftest import wait_until
from tests.reliability.conftest import Words
from tests.reliability.terminal import InTerminal

from showtell.checkpointing.io import load_checkpoint
from showtell.run import Run

TRIES = 20


def train_and_close(words: list[str], folder: Path, seconds: float) -> int:
    """Starts train.py in a terminal, closes that so long after the first checkpoint below the folder; the exit code."""
    started = InTerminal(words, folder)
    wait_until(lambda: any(folder.rglob("checkpoints/last.ckpt")) or started.process.poll() is not None, 300)
    time.sleep(seconds)
    started.close()
    return started.process.wait()


def check_saved(directory: Path) -> None:
    """What a run that has begun must have: its last step."""
    run = Run(directory)
    status = run.status()
    assert status is not None and status.state == "stopped", status
    assert load_checkpoint(run.last)["global_step"] == status.step > 0


LONG = ("training.max_epochs=10000", "training.limit_train_batches=5", "features.dtype=float16")


def numbers(default: int) -> list[object]:
    return [pytest.param(n, marks=() if n < default else pytest.mark.slow) for n in range(TRIES)]


@pytest.mark.parametrize("number", numbers(1))
def test_a_single_run(words: Words, tmp_path: Path, number: int) -> None:
    told = words(*LONG, run_dir=tmp_path / "run")
    assert train_and_close(told, tmp_path, random.Random(number).uniform(0, 2)) == 129
    check_saved(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(TRIES))
def test_two_ranks(words: Words, tmp_path: Path, number: int) -> None:
    told = [word for word in words(*LONG, run_dir=tmp_path / "run") if not word.startswith("device.")]
    told += ["device=ddp", "device.devices=2", "device.accelerator=cpu"]
    assert train_and_close(told, tmp_path, random.Random(number).uniform(0, 2)) == 129
    check_saved(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(TRIES))
def test_a_sweep(words: Words, tmp_path: Path, number: int) -> None:
    """Of two jobs at once, what has begun is saved; a job that has not is not there, or new."""
    told = ["-m", "seed=1,2", "sweep.jobs=2", f"hydra.sweep.dir={tmp_path / 'sweep'}", *words(*LONG, run_dir=None)]
    assert train_and_close(told, tmp_path, random.Random(number).uniform(0, 2)) == 129
    begun = [path.parent for path in tmp_path.glob("sweep/*/status.json")]
    assert begun
    for directory in begun:
        check_saved(directory)
