"""A supervised job is what a process started by hand would be, and ends with whoever wanted it."""

import os
import signal
import subprocess
import sys

import pytest
from tests.conftest import wait_until

from showtell.config import parse
from showtell.ownership import locked
from showtell.run import Run
from showtell.sweeps.backends import Launch, LocalBackend, SupervisedProcess
from showtell.sweeps.supervisor import BUSY

LOOKS_AROUND = """
import atexit, ctypes, json, logging, os, random, signal, sys, threading
print(json.dumps({
    "name": [__name__, __file__, sys.argv, sys.path[0], sys.flags.safe_path],
    "place": [os.getcwd(), os.umask(0o22)],
    "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()],
    "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    "threads": [t.name for t in threading.enumerate()],
    "logging": [repr(logging.root.handlers), logging.root.level],
    "interactive": [sys.stdin.isatty(), sys.stdout.isatty(), sys.stdout.line_buffering, sys.stderr.line_buffering],
    "limits": [os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")],
}))
atexit.register(print, "the end")
print("to stderr", file=sys.stderr)
"""
ENDS = {
    "returns": "",
    "exits": "sys.exit(3)",
    "explains": "sys.exit('error: no')",
    "raises": "def f():\n    1 / 0\nf()",
    "interrupted": "raise KeyboardInterrupt",
    "leaves": "os._exit(4)",
    "killed": "os.kill(os.getpid(), 9)",
    "segfault": "ctypes.string_at(0)",
    "terminated": "os.kill(os.getpid(), signal.SIGTERM); signal.pause()",
}
HERE = "print(os.getpid(), flush=True)\n"


@pytest.fixture
def launch(tmp_path):
    def build(script, *words, name="run", **environment):
        path = tmp_path / "script.py"
        path.write_text(script)
        return Launch((sys.executable, str(path), *words), tmp_path / name, environment)

    return build


def log(launch):
    return Run(launch.directory).log_file


def said(launch):
    """What a job has printed, once it has."""
    return wait_until(lambda: log(launch).is_file() and log(launch).read_text())


def alive(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize("end", ENDS)
def test_a_job_is_what_a_process_started_by_hand_would_be(launch, end):
    one = launch(LOOKS_AROUND + ENDS[end], "a b", "it's=x", OMP_NUM_THREADS="3", CUDA_VISIBLE_DEVICES="7")
    code = SupervisedProcess(one).wait(60)
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    by_hand = subprocess.run(one.command, env={**os.environ, **one.environment}, text=True, check=False, **pipes)
    assert code == (by_hand.returncode if by_hand.returncode >= 0 else 128 - by_hand.returncode)
    assert log(one).read_text() == by_hand.stdout
    assert '["3", "7"]' in by_hand.stdout or end in ("leaves", "killed", "segfault", "terminated")


def test_jobs_draw_different_numbers(launch):
    numbers = "random.random(), numpy.random.rand(), torch.initial_seed(), uuid.uuid4()"
    drawn = []
    for name in ("a", "b"):
        one = launch(f"import random, numpy, torch, uuid\nprint({numbers})", name=name)
        assert SupervisedProcess(one).wait(60) == 0
        drawn += log(one).read_text().split()
    assert len(set(drawn)) == 8


def test_a_job_finds_its_gpu_and_its_threads_from_its_first_line_on(launch, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    backend = LocalBackend(parse({"sweep": {"jobs": 2}}))
    one = launch("import os\nprint(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['OMP_NUM_THREADS'])")
    assert backend.start(one, 1).wait(60) == 0
    assert log(one).read_text() == "7 4\n"


def test_a_locked_run_is_busy(launch):
    one = launch("print('never')")
    one.directory.mkdir()
    with locked(Run(one.directory).lock_file):
        assert SupervisedProcess(one).wait(60) == BUSY
        assert log(one).read_text() == ""
    assert SupervisedProcess(one).wait(60) == 0


def test_a_job_in_a_session_of_its_own_stops_when_asked(launch):
    one = launch(
        "import os, signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        f"{HERE}while True: signal.pause()"
    )
    process = SupervisedProcess(one)
    assert os.getsid(int(said(one))) == process._supervisor.pid != os.getsid(0)
    process.stop()
    assert process.wait(60) == 5
    early = SupervisedProcess(one)
    early.stop()
    assert early.wait(60) in (5, 128 + signal.SIGTERM)


def test_a_killed_job_takes_everything_with_it(launch):
    deaf = "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nchild = os.fork()\n"
    one = launch(deaf + "if child: print(os.getpid(), child, flush=True)\ntime.sleep(600)")
    process = SupervisedProcess(one)
    pids = [int(pid) for pid in said(one).split()]
    process.kill()
    wait_until(lambda: not any(alive(pid) for pid in pids))


def test_a_killed_supervisor_ends_its_job(launch):
    one = launch(f"import os, time\n{HERE}time.sleep(600)")
    process = SupervisedProcess(one)
    job = int(said(one))
    os.kill(process._supervisor.pid, signal.SIGKILL)
    assert process.wait(60) == 128 + signal.SIGKILL
    wait_until(lambda: not alive(job))


def test_a_command_or_a_log_that_cannot_be_opened_fails_the_job_alone(launch, tmp_path):
    nothing = Launch((str(tmp_path / "nothing"),), tmp_path / "run", {})
    assert SupervisedProcess(nothing).wait(60) == 127
    assert "cannot start" in log(nothing).read_text()
    one = launch("print('done')", name="other")
    log(one).mkdir(parents=True)
    assert SupervisedProcess(one).wait(60) == 1


@pytest.mark.slow
@pytest.mark.parametrize("hangs", [True, False], ids=["in C", "not at all"])
def test_a_job_whose_starter_is_killed_may_save_and_is_gone_after_30_seconds(launch, tmp_path, hangs):
    does = "sum(range(10**12))" if hangs else "time.sleep(600)"
    one = launch(
        "import os, signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (open({str(tmp_path / 'saved')!r}, 'w'), sys.exit()))\n{HERE}{does}"
    )
    starts = f"from showtell.sweeps.backends import *; SupervisedProcess({one!r}).wait()"
    starter = subprocess.Popen([sys.executable, "-c", f"from pathlib import *; {starts}"])
    job = int(said(one))
    starter.kill()
    starter.wait()
    wait_until(lambda: not alive(job), seconds=40 if hangs else 20)
    assert (tmp_path / "saved").exists() != hangs
