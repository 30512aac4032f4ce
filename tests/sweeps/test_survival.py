"""A sweep survives its jobs, and leaves none behind."""

import json
import os
import signal
import subprocess
import sys

import pytest
from tests.conftest import wait_until
from tests.sweeps.conftest import FAKE

FAULTS = {
    "raises": "RuntimeError: the loss is not a number (exit code 1)",
    "exit0": "exited with 0 before it had finished",
    "exit1": "(exit code 1)",
    "interrupted": "ended by SIGINT (exit code 130)",
    "killed": "ended by SIGKILL (exit code 137)",
    "segfault": "ended by SIGSEGV (exit code 139)",
    "terminated": "ended by SIGTERM (exit code 143)",
    "aborted": "ended by SIGABRT (exit code 134)",
}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def states(sweep):
    return {path.parent.name: json.loads(path.read_text())["state"] for path in sweep.runs.glob("*/status.json")}


@pytest.mark.parametrize("kinds", [["raises", "exit0", "killed"], pytest.param(list(FAULTS), marks=pytest.mark.slow)])
def test_faults_leave_the_healthy_jobs_running_and_are_listed(sweep, kinds):
    faulty = ",".join(f"{seed}:{kind}" for seed, kind in enumerate(kinds, 1))
    bad, total = len(kinds), len(kinds) + 2
    seeds = ",".join(str(seed) for seed in range(1, total + 1))
    words = [f"seed={seeds}", f"data.root='{faulty}'", "training.max_epochs=3", "sweep.jobs=2"]
    first = sweep(*words)
    assert first.returncode == 1
    assert f"{total} jobs: " in first.stdout and f"{bad} failed" in first.stdout and "2 finished" in first.stdout
    for seed, kind in enumerate(kinds, 1):
        failure = first.stdout[first.stdout.rindex(f"failed: seed={seed}\n") :]
        assert FAULTS[kind] in failure.splitlines()[1]
        log = sweep.runs / f"seed-{seed}" / "out.log"
        assert failure.splitlines()[2].strip() == str(log.relative_to(sweep.folder))
        traced = 'in fail\n    raise RuntimeError("the loss' in log.read_text()
        assert traced == (kind == "raises")
    assert states(sweep) == {f"seed-{n}": "failed" if n <= bad else "finished" for n in range(1, total + 1)}

    again = sweep(*words)  # a fault strikes at the second epoch, so a resumed run gets past it
    assert again.returncode == 0
    assert f"{total} jobs: {bad} finished, 2 skipped" in again.stdout
    assert sweep.starts() == {f"seed-{n}": ["0", "2"] if n <= bad else ["0"] for n in range(1, total + 1)}


def test_a_folder_that_cannot_be_made_fails_its_job_alone(sweep):
    sweep.runs.mkdir(parents=True)
    (sweep.runs / "seed-1").write_text("a file")
    done = sweep("seed=1,2", "training.max_epochs=1")
    assert done.returncode == 1 and "2 jobs: 1 failed, 1 finished" in done.stdout, done.stderr
    assert "File exists" in done.stdout


@on_linux
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stopped_sweep_lets_its_jobs_exit_and_the_same_command_goes_on(sweep, number):
    words = ["seed=1,2,3", "sweep.jobs=2", "training.max_epochs=5"]
    process = sweep.start(*words, TICK="1")
    wait_until(lambda: len(list(sweep.runs.glob("*/status.json"))) == 2)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "3 jobs: 2 stopped, 1 not started" in out
    assert "Traceback" not in err
    assert sweep.processes() == {}

    assert sweep(*words).returncode == 0
    starts = sweep.starts()
    assert starts["seed-3"] == ["0"]
    assert all(len(starts[job]) == 2 and int(starts[job][1]) >= 1 for job in ("seed-1", "seed-2"))


@on_linux
@pytest.mark.slow
def test_a_second_interrupt_ends_jobs_that_do_not_listen(sweep):
    process = sweep.start("seed=1,2", "sweep.jobs=2", TICK="20", STUBBORN="1")
    wait_until(lambda: len(sweep.starts()) == 2)
    process.send_signal(signal.SIGINT)
    assert "stopping" in iter_until(process.stdout, "stopping")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    process.communicate()
    assert sweep.processes() == {}


def iter_until(lines, text):
    return next(line for line in lines if text in line)


@on_linux
def test_no_job_outlives_a_sweep_that_is_killed(sweep):
    process = sweep.start("seed=1,2", "sweep.jobs=2", TICK="1")
    wait_until(lambda: len(list(sweep.runs.glob("*/status.json"))) == 2)
    process.kill()
    process.communicate()
    wait_until(lambda: not sweep.processes(), seconds=30)


@on_linux
@pytest.mark.slow
def test_no_job_outlives_its_supervisor(sweep):
    process = sweep.start("seed=1", "training.max_epochs=60", TICK="1")
    wait_until(lambda: len(list(sweep.runs.glob("*/status.json"))) == 1)
    supervisor = next(
        pid for pid, words in sweep.processes().items() if any(b"showtell.sweeps.supervisor" in word for word in words)
    )
    os.kill(supervisor, signal.SIGKILL)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "ended by SIGKILL" in out
    wait_until(lambda: not sweep.processes(), seconds=30)


@pytest.mark.slow
def test_two_sweeps_do_not_train_the_same_run(sweep):
    words = ["seed=1,2", "sweep.jobs=2", "training.max_epochs=4"]
    first = sweep.start(*words, TICK="3")
    wait_until(lambda: len(sweep.starts()) == 2)
    second = sweep(*words)
    assert second.returncode == 1
    assert "2 busy" in second.stdout and "another process is training this run" in second.stdout
    first.communicate(timeout=120)
    assert first.returncode == 0
    assert sweep.starts() == {"seed-1": ["0"], "seed-2": ["0"]}


@on_linux
def test_a_suspended_job_is_named_with_what_wakes_it(sweep):
    process = sweep.start("seed=1,2", "sweep.jobs=2", "training.max_epochs=3", TICK="1")
    wait_until(lambda: len(list(sweep.runs.glob("*/status.json"))) == 2)
    is_job = {pid: FAKE.name.encode() in b" ".join(words[:2]) for pid, words in sweep.processes().items()}
    job = next(pid for pid, is_it in is_job.items() if is_it)
    os.kill(job, signal.SIGSTOP)
    line = iter_until(process.stdout, "suspended")
    assert line.startswith("suspended seed=") and f"kill -CONT {job} " in line
    subprocess.run(["sh", "-c", line.partition("stopped; ")[2].removesuffix(" wakes it\n")], check=True)
    process.communicate(timeout=60)
    assert process.returncode == 0
