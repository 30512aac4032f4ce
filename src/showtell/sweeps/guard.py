"""Runs one command so that nothing of it outlives whoever wanted it: `python guard.py LOCK LOG COMMAND...`.

Or watches over a job that was forked instead (`nursery`), as its parent: `python guard.py --adopt JOB HELD LOG`.

A sweep that is killed with -9 cannot tell its jobs to stop. So each job is the child of a guard, which holds the
reading end of a pipe: when the sweep is gone, in whatever way, the pipe ends, and the guard lets the job save (SIGTERM)
and then removes what is left. The lock keeps two sweeps from training the same run at once; the kernel frees it with
its holder. The guard is run as a file, with the standard library alone, so it starts in 20 ms and costs 10 MB.

A process group of its own is expected (`start_new_session=True`), and standard input is the pipe. A word on it asks the
job to save and exit. The exit code is the command's, 128 + n for a signal as in a shell, or `BUSY`; of an adopted job
it is also written to standard input, which is a socket then: its guard is no child of the sweep.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import IO, Protocol

BUSY = 75  # EX_TEMPFAIL: another process holds the lock
NOT_STARTED = 127
GRACE_SECONDS = 30.0
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Asks Linux for SIGTERM when the parent dies, for the case that somebody kills the guard."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Child(Protocol):
    """A job, as its parent sees it."""

    def poll(self) -> int | None:
        """The exit code, -n for a signal, or None."""

    def wait(self) -> int:
        """Waits for the exit code."""

    def send_signal(self, number: int, /) -> None:
        """Sends a signal, if it still runs."""


class Adopted:
    """A child that this process had before it became a guard."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None

    def poll(self) -> int | None:
        """The exit code, -n for a signal, or None before `wait` has seen it."""
        return self.code

    def wait(self) -> int:
        """Waits for the exit code."""
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def send_signal(self, number: int, /) -> None:
        """Sends a signal, if it still runs."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def guard(lock: str, log: str, command: list[str]) -> int:
    """Runs the command to its end, or until standard input ends."""
    with open(log, "ab") as output:
        held = locked(lock)
        if held is None:
            return BUSY
        with held:
            try:
                child = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=die_with_parent
                )
            except OSError as error:
                output.write(f"error: cannot start {command[0]}: {error}\n".encode())
                return NOT_STARTED
            return watch(child)


def adopt(pid: int, held: int) -> int:
    """Watches a job to its end, or until standard input ends; says how it ended, and lets go of its lock."""
    code = watch(Adopted(pid))
    os.close(held)
    with contextlib.suppress(OSError):  # nobody listens any more
        os.write(0, f"{code}\n".encode())
    return code


def locked(path: str) -> IO[bytes] | None:
    """The lock as an open file, or None where another process holds it."""
    held = open(path, "ab")  # noqa: SIM115
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        return None
    return held


def watch(child: Child) -> int:
    """Passes signals on until the job ends."""
    for number in FORWARDED:
        signal.signal(number, forward_to(child))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)  # whoever forked the job had them wait
    threading.Thread(target=end_with_input, args=(child,), daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


def forward_to(child: Child) -> Callable[[int, FrameType | None], None]:
    """A handler that passes a signal on to the job alone: its workers must live while it saves."""
    return lambda number, frame: child.send_signal(number)


def end_with_input(child: Child) -> None:
    """Waits for the end of standard input, then ends the job, and after a while the whole process group."""
    while _read():
        child.send_signal(signal.SIGTERM)
    child.send_signal(signal.SIGTERM)
    until = time.monotonic() + GRACE_SECONDS
    while child.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)  # also what the job left behind; nobody is there to read an exit code


def _read() -> bytes:
    try:
        return os.read(0, 4096)
    except ConnectionResetError:  # a socket whose other end was killed with something unread in it
        return b""


if __name__ == "__main__":
    if sys.argv[1] == "--adopt":
        sys.exit(adopt(int(sys.argv[2]), int(sys.argv[3])))
    sys.exit(guard(sys.argv[1], sys.argv[2], sys.argv[3:]))
