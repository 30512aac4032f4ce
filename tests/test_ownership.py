"""One process at a time trains in a directory, and no lock outlives those who hold it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY, wait_until

from showtell import ownership
from showtell.errors import UserError
from showtell.ownership import handed_on, owner_of, owning

OWNER = """
import os, sys, time
from pathlib import Path
from showtell.ownership import owning
with owning(Path(sys.argv[1])):
    child = os.fork() if "child" in sys.argv else 1
    if child:
        print("owns", flush=True)
        if "ends" in sys.argv:
            os.kill(os.getpid(), 9)
    time.sleep(0.5 if not child else 60)
"""
Own = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "run" / ".job.lock"


@pytest.fixture
def other(lock: Path) -> Own:
    """Another process that owns the directory; `child` starts one of its own, `ends` kills it."""

    def start(*words: str, host: str | None = None) -> subprocess.Popen[str]:
        script = OWNER if host is None else f"import socket; socket.gethostname = lambda: {host!r}\n{OWNER}"
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
        command = [sys.executable, "-c", script, str(lock), *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout and process.stdout.readline() == "owns\n"
        return process

    return start


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_the_second_is_told_who_the_first_is(lock: Path, other: Own) -> None:
    first = other()
    with pytest.raises(UserError, match=f"^{lock.parent}: process {first.pid} on this machine trains there; "):  # noqa: SIM117
        with owning(lock):
            pass
    end(first)


def test_a_killed_owner_does_not_block(lock: Path, other: Own) -> None:
    end(other())
    assert lock.is_file()
    with owning(lock):
        assert owner_of(lock).pid == os.getpid()
    assert not lock.exists()


def test_what_a_killed_owner_has_started_is_waited_for(lock: Path, other: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    with other("child", "ends") as first, monkeypatch.context() as patch:
        first.wait()
        patch.setattr(ownership, "_CHILDREN_SECONDS", 0.0)
        with pytest.raises(UserError, match=f"process {first.pid}"), owning(lock):
            pass
    with owning(lock):
        pass


def test_an_owner_on_another_machine_is_named_and_may_be_gone(lock: Path, other: Own) -> None:
    first = other(host="gpu7")
    told = f"process {first.pid} on gpu7 trains there; .* if that machine is gone, remove {lock}$"
    with pytest.raises(UserError, match=told), owning(lock):
        pass
    lock.unlink()  # as the line says
    with owning(lock):
        pass
    end(first)


def test_a_job_that_was_put_back_in_the_queue_waits_for_itself(
    lock: Path, other: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    first = other(host="gpu7")
    assert owner_of(lock).patience() > 60
    monkeypatch.setattr(ownership.time, "sleep", lambda seconds: end(first))
    with owning(lock):
        pass


def test_what_the_owner_starts_owns_it_too(lock: Path) -> None:
    script = f"from pathlib import Path\nfrom showtell.ownership import owning\nwith owning(Path({str(lock)!r})): pass"
    with owning(lock) as held:
        assert held is not None
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), **handed_on(held)}
        command = [sys.executable, "-c", script]
        assert subprocess.run(command, env=environment, pass_fds=[held]).returncode == 0
        assert lock.is_file()
        assert subprocess.run(command, env=environment, capture_output=True).returncode == 1  # a number is no lock


def test_a_lock_that_says_nothing_holds_all_the_same(lock: Path, other: Own) -> None:
    first = other()
    lock.write_text(json.dumps({"pid": "x", "more": []}))
    with pytest.raises(UserError, match="trains there"), owning(lock):
        pass
    first.send_signal(signal.SIGKILL)
    wait_until(lambda: first.poll() is not None)
    first.communicate()


@pytest.mark.parametrize("kind", ["link", "link to nothing", "pipe", "folder"])
def test_what_is_no_lock_is_refused_and_left_alone(lock: Path, tmp_path: Path, kind: str) -> None:
    lock.parent.mkdir()
    (tmp_path / "precious").write_text("mine")
    if kind == "pipe":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        lock.symlink_to(tmp_path / ("precious" if kind == "link" else "none"))
    with pytest.raises(UserError, match="is not the lock of a run"), owning(lock):
        pass
    assert owner_of(lock).pid == 0
    assert (tmp_path / "precious").read_text() == "mine" and not (tmp_path / "none").exists()
