"""Signals through the real train.py: the exit code, what status.json says, and that the run goes on exactly."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.reliability.conftest import ROOT, mostly_slow
from tests.reliability.outcome import differences, outcome

NUMBERS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP)
STEPS_MOMENT = "CaptionModule.training_step"


@pytest.fixture(scope="session")
def untouched(forge, tmp_path_factory):
    """The run that nobody stopped, and the numbers of its moments."""
    directory = tmp_path_factory.mktemp("untouched")
    trace = directory / "trace.json"
    options = {"sections": {"training": {"checkpoint_every_steps": 0}}, "trace": str(trace)}
    assert forge.train(directory / "run", **options) == 0, forge.said
    return outcome(directory / "run"), json.loads(trace.read_text())


def stopped(forge, words, tmp_path: Path, number: int, strike: int, **job) -> Path:
    """A run through train.py that gets a signal before a moment; its exit code is checked."""
    argv = words("training.checkpoint_every_steps=0")
    code = forge.job(argv=argv, directory=str(tmp_path), strike=strike, signal=number, **job)
    assert code == 128 + number, forge.said
    return tmp_path / "run"


@pytest.mark.parametrize("number", mostly_slow(NUMBERS, 2))
def test_a_signal_stops_a_run_that_goes_on_exactly(forge, words, untouched, tmp_path, number):
    reference, moments = untouched
    steps = [i for i, name in enumerate(moments) if name == STEPS_MOMENT]
    run_dir = stopped(forge, words, tmp_path, number, steps[2])
    status = json.loads((run_dir / "status.json").read_text())
    assert (status["state"], status["step"]) == ("stopped", 3)
    assert "step 3 is saved" in forge.said and "Traceback" not in forge.said
    assert forge.job(argv=[f"resume={run_dir}", "hydra/job_logging=none"], directory=str(tmp_path)) == 0, forge.said
    assert not differences(reference, outcome(run_dir))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_signals_at_any_moment(forge, words, untouched, tmp_path, seed):
    reference, moments = untouched
    number = NUMBERS[seed % 4]
    strike = 3 + seed * (len(moments) - 10) // 20
    run_dir = stopped(forge, words, tmp_path, number, strike)
    assert forge.job(argv=[f"resume={run_dir}", "hydra/job_logging=none"], directory=str(tmp_path)) == 0, forge.said
    assert not differences(reference, outcome(run_dir))


def test_slurm_puts_the_job_back_in_the_queue(forge, words, tmp_path):
    program = tmp_path / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    program.chmod(0o755)
    environment = {"SLURM_JOB_ID": "42", "SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0"}
    environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    environment |= {"SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    stopped(forge, words, tmp_path, signal.SIGUSR1, 12, environment=environment)
    assert (tmp_path / "asked").read_text().split() == ["requeue", "42"]


def test_a_second_interrupt_ends_the_run_at_once(words, tmp_path):
    """In a process of its own, whose real exit code is looked at."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        str(ROOT / "train.py"),
        *words("training.max_epochs=10000", "features.mode=off", "features.dtype=float16"),
    ]
    run = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    status = tmp_path / "run" / "status.json"
    until = time.monotonic() + 120
    while not status.exists() and time.monotonic() < until and run.poll() is None:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=60)[0].decode()
    assert run.returncode in (-signal.SIGINT, 130), said
    assert "Traceback" not in said
