"""Runs one job so that nothing of it outlives whoever wanted it: `supervisor STARTER LOCK LOG COMMAND...`.

A sweep that is killed with -9 cannot tell its jobs to stop, and a job that hangs in a call of C cannot see that it has
gone. So each job is the child of a supervisor, which looks at its parent's number: when the sweep is gone, it lets the
job save (SIGTERM) and then removes what is left. The job inherits the lock of its run directory
(`ownership`).  Nothing but the standard library is imported: it costs 40 ms and 12 MB.

A session of its own is expected (`start_new_session=True`). The exit code is the command's, 128 + n for a signal as in
a shell, or `BUSY`.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

from showtell.ownership import handed_on, locked
from showtell.processes import SIGNALS, exit_code

BUSY = 75  # EX_TEMPFAIL: another process holds the lock
NOT_STARTED = 127
GRACE_SECONDS = 30.0
LOOK_SECONDS = 0.5
PR_SET_PDEATHSIG = 1


def main() -> int:
    """Runs the command to its end, or until the starter has gone."""
    starter, lock, log, *command = sys.argv[1:]
    with open(log, "ab") as output:
        held = locked(lock)
        if held is None:
            return BUSY
        with held:
            try:
                job = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    preexec_fn=die_with_parent,
                    pass_fds=[held.fileno()],
                    env={**os.environ, **handed_on(held.fileno())},
                )
            except OSError as error:
                output.write(f"error: cannot start {command[0]}: {error}\n".encode())
                return NOT_STARTED
            return supervise(job, int(starter))


def supervise(job: subprocess.Popen[bytes], starter: int) -> int:
    """Passes signals on until the job ends, to it alone: its workers must live while it saves."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        job.send_signal(number)

    for number in (*SIGNALS, signal.SIGUSR2):  # SLURM may send the last to all processes of a job
        signal.signal(number, pass_on)
    threading.Thread(target=end_with_starter, args=(job, starter), daemon=True).start()
    return exit_code(job.wait())


def end_with_starter(job: subprocess.Popen[bytes], starter: int) -> None:
    """Waits until the starter has gone, then ends the job, and after a while the whole process group."""
    while os.getppid() == starter:
        time.sleep(LOOK_SECONDS)
    job.terminate()
    until = time.monotonic() + GRACE_SECONDS
    while job.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)  # also what the job left behind; nobody is there to read an exit code


def die_with_parent() -> None:
    """Asks for SIGTERM when the parent dies, where Linux can be asked; somebody may kill the supervisor."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
