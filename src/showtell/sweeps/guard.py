"""Runs one command so that nothing of it outlives whoever wanted it: `python guard.py LOCK LOG COMMAND...`.

A sweep that is killed with -9 cannot tell its jobs to stop. So each job is the child of a guard, which holds the
reading end of a pipe: when the sweep is gone, in whatever way, the pipe ends, and the guard lets the job save (SIGTERM)
and then removes what is left. The lock keeps two sweeps from training the same run at once; the kernel frees it with
its holder. The guard is run as a file, with the standard library alone, so it starts in 20 ms and costs 10 MB.

A process group of its own is expected (`start_new_session=True`), and standard input is the pipe. The exit code is the
command's, 128 + n for a signal as in a shell, or `BUSY`.
"""

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

BUSY = 75  # EX_TEMPFAIL: another process holds the lock
NOT_STARTED = 127
GRACE_SECONDS = 30.0
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Asks Linux for SIGTERM when the parent dies, for the case that somebody kills the guard."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def guard(lock: str, log: str, command: list[str]) -> int:
    """Runs the command to its end, or until standard input ends."""
    with open(lock, "ab") as held, open(log, "ab") as output:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return BUSY
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=die_with_parent
            )
        except OSError as error:
            output.write(f"error: cannot start {command[0]}: {error}\n".encode())
            return NOT_STARTED
        for number in FORWARDED:
            signal.signal(number, forward_to(child))
        threading.Thread(target=end_with_input, args=(child,), daemon=True).start()
        code = child.wait()
    return code if code >= 0 else 128 - code


def forward_to(child: "subprocess.Popen[bytes]") -> Callable[[int, FrameType | None], None]:
    """A handler that passes a signal on to the job alone: its workers must live while it saves."""
    return lambda number, frame: child.send_signal(number)


def end_with_input(child: "subprocess.Popen[bytes]") -> None:
    """Waits for the end of standard input, then ends the job, and after a while the whole process group."""
    while os.read(0, 4096):
        pass
    child.terminate()
    until = time.monotonic() + GRACE_SECONDS
    while child.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)  # also what the job left behind; nobody is there to read an exit code


if __name__ == "__main__":
    sys.exit(guard(sys.argv[1], sys.argv[2], sys.argv[3:]))
