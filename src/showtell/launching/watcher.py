"""Watches one of torchrun's ranks from outside: `python -m showtell.launching.watcher PID RANK RUN_DIR`.

torchrun ends all ranks when one has died, but does not notice one that hangs or was stopped; the others would wait for
it until a collective times out. So each rank starts a child that watches it as our own launcher watches its ranks, and
kills it when it is silent: then it has died, and torchrun does the rest, on all machines. It must be a process: the
threads of a stopped process stand still too, and those of another rank may be kept from running by a long call of C.

The child is a process of some 15 MB that sleeps. It ends with its rank, and nothing else ends it.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from showtell.launching.protocol import BEAT_SECONDS, HUNG, SIGNALS, end_soon
from showtell.launching.pulse import Pulse
from showtell.run import Run

_POLL_SECONDS = 0.2
Child = subprocess.Popen[bytes]


def be_watched(rank: int, run_dir: Path) -> None:
    """Has this process watched to its end; when who started it has gone, it saves and ends as after SIGTERM."""
    line, theirs = socket.socketpair()
    with theirs:
        watcher = start_beside(["showtell.launching.watcher", os.getpid(), rank, run_dir], theirs.fileno())
    threading.Thread(target=_beat, args=(line, os.getppid(), watcher), daemon=True).start()


def start_beside(words: Sequence[object], stdin: int, environment: Mapping[str, str] | None = None) -> Child:
    """Starts a module of Showtell's as a process beside this rank; nothing that strikes the rank's group strikes it."""
    places = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", *map(str, words)],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": places, **(environment or {})},
        start_new_session=True,
    )


def end_rank(pid: int, rank: int, run_dir: Path, reason: str) -> None:
    """Kills the rank that one watches, and says why where its run is told about."""
    os.kill(pid, signal.SIGKILL)
    if rank == 0:
        Run(run_dir).record_failure(reason)
    print(f"error: {reason}; rank {rank} was killed, so torchrun ends the others", file=sys.stderr, flush=True)


def _beat(line: socket.socket, starter: int, watcher: Child) -> None:
    line.settimeout(BEAT_SECONDS)
    while os.getppid() == starter:
        with suppress(OSError):  # a watcher that was stopped or killed is no reason to end
            line.send(b".")
        time.sleep(BEAT_SECONDS)
    end_soon()


def main() -> None:
    """Watches until the rank has ended, or ends it."""
    for number in SIGNALS:  # batch systems signal every process of a job
        signal.signal(number, signal.SIG_IGN)
    pid, rank, run_dir = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    pulse = Pulse(socket.socket(fileno=os.dup(0)), pid)
    while os.getppid() == pid:  # as long as the rank lives, so the number is nobody else's
        if not pulse.listen():
            end_rank(pid, rank, run_dir, f"rank {rank} {HUNG}")
            return
        select.select([pulse.line], [], [], BEAT_SECONDS)
        time.sleep(_POLL_SECONDS)  # a line that was closed is always ready


if __name__ == "__main__":
    main()
