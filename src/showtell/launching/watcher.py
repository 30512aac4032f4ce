"""Watches for one of torchrun's ranks, from a process beside it: `watcher PID RANK RUN_DIR [PORT]`.

torchrun ends all ranks when one has died, but notices neither one that hangs nor a machine that is gone; the others
would wait until a collective times out. So each rank starts a child that listens to its heartbeat as our own launcher
listens to its ranks' (`heartbeat`), and kills it when it is silent: then it has died, and torchrun does the rest, on
all machines. It must be a process: the threads of a stopped process stand still too, and those of another rank may be
kept from running by a long call of C.

On a machine that froze or lost its network no watcher runs that could be heard. So where there are several machines one
more such process on each sends heartbeats: rank 0's listens on PORT, the others connect to it. Who hears nothing from
the other side for `MACHINE_SILENCE_SECONDS` kills its own rank, and torchrun ends what else is left. A connection that
ends is no silence: the rank there has ended, which torchrun knows.

A watcher is a process of some 15 MB that sleeps. It ends with its rank, and nothing else ends it.
"""

import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from showtell.distributed import Ranks, broadcast
from showtell.launching.heartbeat import BEAT_SECONDS, HUNG, MACHINE_SILENCE_SECONDS, Heartbeat
from showtell.processes import SIGNALS, module_command, module_environment
from showtell.run import Run

KEY = "SHOWTELL_KEY"
_HELLO = 48
_PATIENCE = 10.0
_POLL_SECONDS = 0.2
_children: list[subprocess.Popen[bytes]] = []  # kept: one that is dropped while it runs is a warning


def watch_this_rank(rank: int, run_dir: Path) -> socket.socket:
    """Has this process watched to its end, and returns the line for its heartbeats."""
    line, theirs = socket.socketpair()
    with theirs:
        _start_beside([os.getpid(), rank, run_dir], theirs.fileno())
    return line


def watch_machines(ranks: Ranks, run_dir: Path) -> None:
    """Has the other machines watched, where there are any; every rank must ask, once they have joined."""
    if ranks.size == ranks.local_size:
        return
    server = _listening() if ranks.rank == 0 else None
    told = (server.getsockname()[1], secrets.token_hex(16)) if server else None
    port, key = broadcast(told) or (0, "")
    if ranks.local_rank == 0:
        # the key travels in the environment, which other users cannot read
        words = [os.getpid(), ranks.rank, run_dir, port]
        _start_beside(words, server.fileno() if server else subprocess.DEVNULL, {KEY: key})
    if server:
        server.close()


def _start_beside(words: list[object], stdin: int, environment: Mapping[str, str] | None = None) -> None:
    """Starts a watcher beside this rank; nothing that strikes the rank's group strikes it."""
    _children.append(
        subprocess.Popen(
            module_command("showtell.launching.watcher", *words),
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **module_environment(), **(environment or {})},
            start_new_session=True,
        )
    )


def _listening() -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


class Machines:
    """The other machines that this one hears, by the number of a rank there."""

    def __init__(self, server: socket.socket | None, key: str) -> None:
        self.server = server
        self.key = key
        self.known: dict[int, Heartbeat] = {}
        self.sent = time.monotonic()

    def connect(self, host: str, port: int, rank: int) -> None:
        """Makes this machine known to rank 0's."""
        line = socket.create_connection((host, port), _PATIENCE)
        line.sendall(f"{self.key} {rank}".ljust(_HELLO).encode())
        self.known[0] = Heartbeat(line, MACHINE_SILENCE_SECONDS)

    def silent(self) -> int | None:
        """Waits up to a second for heartbeats and sends its own; the rank of a machine that is silent."""
        lines = [machine.line for machine in self.known.values()]
        ready = select.select([*lines, *([self.server] if self.server else [])], [], [], BEAT_SECONDS)[0]
        if self.server in ready:
            self._accept()
        found = [rank for rank, machine in self.known.items() if machine.is_silent()]
        for rank in [rank for rank, machine in self.known.items() if machine.ended]:
            self.known.pop(rank).line.close()
        if time.monotonic() - self.sent >= BEAT_SECONDS:
            self.sent = time.monotonic()
            for machine in self.known.values():
                machine.send()
        return next((rank for rank in found if rank in self.known), None)

    def _accept(self) -> None:
        """Takes a connection if it brings the key."""
        assert self.server is not None
        line, _ = self.server.accept()
        line.settimeout(1.0)
        with suppress(OSError):
            key, _, rank = line.recv(_HELLO, socket.MSG_WAITALL).decode("ascii", "replace").partition(" ")
            if secrets.compare_digest(key.encode(), self.key.encode()) and rank.strip().isdigit():
                self.known[int(rank)] = Heartbeat(line, MACHINE_SILENCE_SECONDS)
                return
        line.close()


def _hear_rank(pid: int, rank: int) -> Iterator[str | None]:
    """Each second what is wrong with the rank, or None."""
    heartbeat = Heartbeat(socket.socket(fileno=os.dup(0)), pid=pid)
    while True:
        select.select([heartbeat.line], [], [], BEAT_SECONDS)
        time.sleep(_POLL_SECONDS)  # a line that was closed is always ready
        yield f"rank {rank} {HUNG}" if heartbeat.is_silent() else None


def _hear_machines(rank: int, port: int) -> Iterator[str | None]:
    """Each second what is wrong with another machine, or None; ends where rank 0's cannot be reached, and says so."""
    machines = Machines(socket.socket(fileno=os.dup(0)) if rank == 0 else None, os.environ.pop(KEY))
    host = os.environ.get("MASTER_ADDR", "")
    try:
        if rank:
            machines.connect(host, port, rank)
    except OSError as error:
        reason = f"rank {rank} cannot reach {host}:{port} ({error.strerror or error})"
        print(f"note: {reason}; a machine that freezes is noticed after device.timeout_seconds", file=sys.stderr)
        return
    while True:
        silent = machines.silent()
        how = f"was silent for {MACHINE_SILENCE_SECONDS:.0f} s"
        yield None if silent is None else f"the machine of rank {silent} {how}"


def main() -> None:
    """Watches until the rank has ended, or ends it and says why where its run is told about."""
    for number in SIGNALS:  # batch systems signal every process of a job
        signal.signal(number, signal.SIG_IGN)
    pid, rank, run_dir, *port = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:])
    for wrong in _hear_machines(rank, port[0]) if port else _hear_rank(pid, rank):
        if os.getppid() != pid:  # the rank has ended, and the number may be another's
            return
        if wrong:
            os.kill(pid, signal.SIGKILL)
            if rank == 0:
                Run(run_dir).record_failure(wrong)
            print(f"error: {wrong}; rank {rank} was killed, so torchrun ends the others", file=sys.stderr, flush=True)
            return


if __name__ == "__main__":
    main()
