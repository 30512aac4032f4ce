"""Jobs on submitit's local cluster and on a real Ray of this machine."""

import signal

import pytest
from tests.conftest import wait_until

pytestmark = pytest.mark.slow
WORDS = {"slurm": ["sweep.backend=slurm", "sweep.cluster=local"], "ray": ["sweep.backend=ray", "sweep.cpus=1"]}


@pytest.fixture(params=WORDS)
def words(request):
    pytest.importorskip({"slurm": "submitit", "ray": "ray"}[request.param])
    return ["training.max_epochs=3", *WORDS[request.param]]


def test_a_fault_leaves_the_others_running_and_the_same_command_goes_on(sweep, words):
    words += ["seed=1,2,3", "data.root='2:killed'"]
    first = sweep(*words)
    assert first.returncode == 1, first.stderr
    assert "3 jobs: " in first.stdout and "2 finished" in first.stdout
    assert "ended by SIGKILL (exit code 137)" in first.stdout
    again = sweep(*words)
    assert again.returncode == 0
    assert sweep.starts() == {"seed-1": ["0"], "seed-2": ["0", "2"], "seed-3": ["0"]}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_ends_leaves_no_job_behind(sweep, words, number):
    process = sweep.start("seed=1,2", "training.max_epochs=60", *words[1:], TICK="1")
    wait_until(lambda: len(list(sweep.runs.glob("*/status.json"))) == 2, seconds=120)
    process.send_signal(number)
    process.communicate(timeout=120)
    if number == signal.SIGINT:
        assert process.returncode == 130
    wait_until(lambda: not sweep.processes(), seconds=60)
