"""A job from the nursery cannot tell that it did not start by itself, and nobody else can."""

import ast
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from showtell.sweeps.forking import ForkedProcess, Nursery
from showtell.sweeps.guard import BUSY, locked
from showtell.sweeps.process import LOCK_NAME, GuardedProcess, Launch, Program

from .conftest import REPOSITORY, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")

# what a process is, as far as a job could notice; numbers of processes are left out
LOOKS_AROUND = """
import atexit, ctypes, json, logging, os, random, signal, sys, threading, warnings
import numpy as np, torch

def blocked():
    return [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())]

def dies_with_parent():
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(number))
    return number.value

def words(pid):
    return open(f"/proc/{pid}/cmdline").read().rstrip("\\0").split("\\0")

def look():
    return {
        "name": [__name__, __file__, sys.argv, sys.path[0], words("self"), sys.flags.safe_path],
        "environment": dict(os.environ),
        "place": [os.getcwd(), os.umask(0o22)],
        "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()],
        "blocked": blocked(),
        "death": dies_with_parent(),
        "family": os.getsid(0) == os.getppid() == os.getpgrp(),
        "files": sorted(os.readlink(f"/proc/self/fd/{n}") for n in (0, 1, 2)),
        "open": len([n for n in os.listdir("/proc/self/fd")]),
        "threads": [t.name for t in threading.enumerate()],
        "logging": [repr(logging.root.handlers), logging.root.level],
        "warnings": len(warnings.filters),
        "interactive": [sys.stdin.isatty(), sys.stdout.isatty(), sys.stdout.line_buffering, sys.stderr.line_buffering],
        "torch": [torch.get_num_threads(), torch.cuda.is_initialized(), torch.is_grad_enabled()],
        "trace": sys.gettrace() is None and sys.getprofile() is None,
    }

print(json.dumps(look(), indent=1))
atexit.register(print, "the end")
print("to stderr", file=sys.stderr)
"""
IMPORTS = """
import importlib, os, sys, threading
import torch

def refuse(*_):
    raise AssertionError("a GPU was looked at")

for name in ("_cuda_getDeviceCount", "_cuda_init"):
    if hasattr(torch._C, name):
        setattr(torch._C, name, refuse)
before = torch.default_generator.get_state()
for module in sys.argv[1:]:
    importlib.import_module(module)
assert "pytorch_lightning" in sys.modules
assert torch.equal(before, torch.default_generator.get_state())
assert threading.active_count() == len(os.listdir("/proc/self/task")) == 1
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


@pytest.fixture
def nursery(tmp_path):
    """Builds a nursery for a script; all are closed in the end."""
    made = []

    def build(script, *modules, environment=None):
        path = tmp_path / "script.py"
        path.write_text(script)
        made.append(Nursery(Program((sys.executable, str(path)), modules=modules), environment or {}))
        return made[-1]

    yield build
    for nursery in made:
        nursery.close()


@pytest.fixture
def launch(tmp_path):
    def build(name, *words, **environment):
        return Launch((sys.executable, str(tmp_path / "script.py"), *words), tmp_path / name, environment)

    return build


def ended(process, seconds=60):
    code = []
    wait_until(lambda: code.append(process.poll()) or code[-1] is not None, seconds)
    return code[-1]


@pytest.mark.parametrize(
    "end", [*list(ENDS)[:5], *(pytest.param(end, marks=pytest.mark.slow) for end in list(ENDS)[5:])]
)
def test_a_forked_job_is_what_a_new_process_would_be(nursery, launch, tmp_path, monkeypatch, end):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    mother = nursery(LOOKS_AROUND + ENDS[end], "torch", environment=threads)
    forked, new = (
        launch(name, "a b", f"it's={name[-1]}", **threads, CUDA_VISIBLE_DEVICES="7") for name in ("run-x", "run_x")
    )
    process = mother.start(forked)
    assert isinstance(process, ForkedProcess)
    code = ended(process)
    assert ended(GuardedProcess(new)) == code
    text = new.log.read_text().replace("run_x", "run-x")
    assert forked.log.read_text() == text
    assert "the end" in text or end in ("leaves", "killed", "segfault", "terminated")


@pytest.mark.slow
def test_what_a_run_imports_computes_nothing_and_starts_no_thread():
    (modules,) = re.findall(r"^IMPORTED_LATE = (.*)$", (REPOSITORY / "train.py").read_text(), re.MULTILINE)
    command = [sys.executable, "-c", IMPORTS, "hydra", *ast.literal_eval(modules)]
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "2"}  # OpenBLAS's own are harmless, see the nursery
    environment = {**os.environ, **threads, "PYTHONPATH": str(REPOSITORY / "src")}
    subprocess.run(command, env=environment, check=True)


def test_what_imports_print_is_in_every_log(nursery, launch, tmp_path, monkeypatch):
    (tmp_path / "chatty.py").write_text("import sys\nprint('said')\nprint('warned', file=sys.stderr)")
    mother = nursery("import chatty\nprint('done')", "chatty")  # a script's folder is searched, as ever
    launches = [launch("a"), launch("b")]
    for one in launches:
        assert ended(mother.start(one)) == 0
        assert sorted(one.log.read_text().split()) == ["done", "said", "warned"]


def test_a_job_draws_other_numbers_than_its_sister(nursery, launch):
    numbers = "random.random(), numpy.random.rand(), torch.rand(1).item(), uuid.uuid4()"
    mother = nursery(f"import random, numpy, torch, uuid\nprint({numbers})", "torch")
    drawn = []
    for name in ("a", "b"):
        one = launch(name)
        assert ended(mother.start(one)) == 0
        drawn += one.log.read_text().split()
    assert len(set(drawn)) == 8


def test_what_a_fork_cannot_change_gets_a_new_interpreter(nursery, launch):
    mother = nursery("import os\nprint(os.environ.get('OMP_NUM_THREADS'))", environment={"OMP_NUM_THREADS": "1"})
    process = mother.start(launch("same", OMP_NUM_THREADS="1"))
    assert isinstance(process, ForkedProcess) and ended(process) == 0
    other = launch("other", OMP_NUM_THREADS="2")
    process = mother.start(other)
    assert isinstance(process, GuardedProcess) and ended(process) == 0
    assert other.log.read_text() == "2\n"


def test_jobs_start_anew_when_the_nursery_cannot_be(nursery, launch):
    mother = nursery("print('done')", "there_is_no_such_module")
    one = launch("a")
    assert ended(mother.start(one)) == 0
    assert one.log.read_text() == "done\n"


def test_a_dead_nursery_leaves_its_jobs_alone_and_new_ones_do_without(nursery, launch, tmp_path):
    mother = nursery("import sys\nprint('here', flush=True)\nsys.stdin.read()\nopen(sys.argv[1]).read()")
    os.mkfifo(tmp_path / "gate")
    first = launch("a", str(tmp_path / "gate"))
    process = mother.start(first)
    wait_until(lambda: first.log.is_file() and first.log.read_text())
    mother._process.kill()
    mother._process.wait()
    assert process.poll() is None
    (tmp_path / "gate").write_text("go on")
    assert ended(process) == 0
    (tmp_path / "open").touch()
    assert ended(mother.start(launch("b", str(tmp_path / "open")))) == 0


def test_a_sweep_that_is_stopping_starts_nothing_anew(nursery, launch, tmp_path):
    os.mkfifo(tmp_path / "gate")
    (tmp_path / "slow.py").write_text(f"open({str(tmp_path / 'gate')!r}).read()")
    mother = nursery("print('done')", "slow")
    one = launch("a")
    process = mother.start(one)
    process.stop()
    mother._process.kill()
    assert ended(process) == 128 + signal.SIGKILL
    assert not one.log.exists()


def test_the_code_of_a_job_that_ended_before_it_was_stopped_is_heard(nursery, launch):
    mother = nursery("raise SystemExit(7)")
    process = mother.start(launch("a"))
    wait_until(lambda: not process._exchange() and process._group)
    wait_until(lambda: not alive(process._group))
    process.stop()
    assert ended(process) == 7


def test_a_locked_run_is_busy(nursery, launch):
    mother = nursery("print('never')")
    one = launch("a")
    one.directory.mkdir()
    with locked(one.directory / LOCK_NAME):
        assert ended(mother.start(one)) == BUSY
        assert one.log.read_text() == ""
    assert ended(mother.start(one)) == 0


def test_a_job_stops_when_asked_even_before_it_is_born(nursery, launch):
    listens = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
    mother = nursery(listens + "print('here', flush=True)\nwhile True: signal.pause()")
    one = launch("a")
    process = mother.start(one)
    wait_until(lambda: one.log.is_file() and one.log.read_text())
    process.stop()
    assert ended(process) == 5
    early = mother.start(launch("b"))
    early.stop()
    assert ended(early) in (5, 128 + signal.SIGTERM)


def test_a_killed_job_takes_everything_with_it(nursery, launch):
    deaf = "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nchild = os.fork()\n"
    mother = nursery(deaf + "if child: print(os.getpid(), child, flush=True)\ntime.sleep(600)")
    one = launch("a")
    process = mother.start(one)
    wait_until(lambda: one.log.is_file() and one.log.read_text())
    pids = [int(pid) for pid in one.log.read_text().split()]
    process.kill()
    wait_until(lambda: not any(alive(pid) for pid in pids))


def test_a_job_that_is_killed_before_it_is_born_never_is(nursery, launch, tmp_path):
    os.mkfifo(tmp_path / "gate")
    (tmp_path / "slow.py").write_text(f"open({str(tmp_path / 'gate')!r}).read()")
    mother = nursery("print('done')", "slow")
    unborn, born = launch("a"), launch("b")
    process = mother.start(unborn)
    process.poll()  # the order is on its way
    process.kill()
    threading.Thread(target=(tmp_path / "gate").write_text, args=("go on",)).start()
    assert ended(mother.start(born)) == 0  # born after the other would have been
    assert not unborn.log.exists()


def test_a_killed_guard_ends_its_job(nursery, launch):
    mother = nursery("import os, time\nprint(os.getppid(), os.getpid(), flush=True)\ntime.sleep(600)")
    one = launch("a")
    process = mother.start(one)
    wait_until(lambda: one.log.is_file() and one.log.read_text())
    guard, job = map(int, one.log.read_text().split())
    os.kill(guard, signal.SIGKILL)
    assert ended(process) == 128 + signal.SIGKILL
    wait_until(lambda: not alive(job))


def test_a_log_that_cannot_be_opened_fails_the_job_alone(nursery, launch):
    mother = nursery("print('done')")
    one, other = launch("a"), launch("b")
    one.log.mkdir(parents=True)
    assert ended(mother.start(one)) == 1
    assert ended(mother.start(other)) == 0


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
