"""Signals from outside, to a run in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from tests.conftest import REPOSITORY as ROOT

from showtell.checkpointing.io import load_checkpoint
from showtell.checkpointing.stop import SIGNALS, GracefulStop

SCRIPT = """
import sys, time
from pathlib import Path
from tests.checkpointing.toy import Settings, train
def wait(model):
    print("step", flush=True)
    time.sleep({seconds} if model.global_step > 1 else 0)
settings = Settings(epochs=999, every_steps=0, workers={workers}, hooks={{"training_step": wait}})
train(Path(sys.argv[1]), settings)
print("went on")
"""


@pytest.fixture
def start(tmp_path) -> Iterator:
    runs = []

    def begin(seconds: float = 0.01, workers: int = 0, **environment: str) -> subprocess.Popen:
        run = subprocess.Popen(
            [sys.executable, "-c", SCRIPT.format(seconds=seconds, workers=workers), str(tmp_path)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", **environment},
        )  # fmt: skip
        runs.append(run)
        for _ in range(3):
            assert run.stdout.readline() == "step\n"
        return run

    yield begin
    for run in runs:
        run.kill()
        run.communicate()


def test_a_second_interrupt_ends_at_once(start, tmp_path):
    run = start(seconds=30)
    run.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    assert run.wait(10) == -signal.SIGINT
    assert not list(tmp_path.glob("*.ckpt"))


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_to_all_processes_of_the_run(number, start, tmp_path):
    run = start(seconds=0.05, workers=2)
    os.killpg(run.pid, number)
    assert run.wait(60) == 128 + number
    assert "went on" not in run.stdout.read()
    assert load_checkpoint(tmp_path / "last.ckpt")["global_step"] >= 2


def test_slurm_saves_and_requeues(start, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "scontrol").write_text(f'#!/bin/sh\nls {tmp_path} > {tmp_path}/seen\necho "$@" > {tmp_path}/requeued\n')
    (tools / "scontrol").chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    run = start(PATH=path, SLURM_JOB_ID="42", SLURM_NTASKS="1", SLURM_JOB_NAME="train", SLURM_PROCID="0")
    run.send_signal(signal.SIGUSR1)
    assert run.wait(60) == 128 + signal.SIGUSR1
    assert (tmp_path / "requeued").read_text() == "requeue 42\n"
    assert "last.ckpt" in (tmp_path / "seen").read_text()


def test_handlers_are_restored_and_a_late_signal_still_counts():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    with GracefulStop():
        pass
    assert {number: signal.getsignal(number) for number in SIGNALS} == before
    try:
        with pytest.raises(SystemExit) as caught, GracefulStop():
            signal.raise_signal(signal.SIGHUP)
        # a Ctrl-C while Python shuts down must not print a traceback
        after = {number: signal.getsignal(number) for number in SIGNALS}
        assert after == before | {signal.SIGINT: signal.SIG_DFL}
    finally:
        signal.signal(signal.SIGINT, before[signal.SIGINT])
    assert caught.value.code == 129


def test_an_error_without_a_signal_stays_what_it_is():
    with pytest.raises(KeyError), GracefulStop():
        raise KeyError


def test_an_error_after_a_signal_ends_with_the_signals_code():
    """On Ctrl-C the terminal interrupts loader workers too, and their death must not look like the cause."""
    with pytest.raises(SystemExit) as caught, GracefulStop():
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("DataLoader worker exited unexpectedly")
    assert caught.value.code == 130 and isinstance(caught.value.__cause__, RuntimeError)
