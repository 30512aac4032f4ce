"""Notices that a whole machine of a run has gone silent: `python -m showtell.launching.machines PID RANK RUN_DIR PORT`.

A rank that hangs is its watcher's business (`watcher`), but on a machine that froze or lost its network no watcher runs
that could be heard. So one process on each of several machines sends a byte every second: rank 0's listens, the others
connect to it. Who hears nothing from the other side for `MACHINE_SILENCE_SECONDS` kills its rank, and torchrun ends
what else is left. A connection that ends is no silence: the rank there has ended, which torchrun knows.
"""

import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from showtell.distributed import Ranks, broadcast
from showtell.launching.protocol import BEAT_SECONDS, MACHINE_SILENCE_SECONDS, SIGNALS
from showtell.launching.watcher import end_rank, start_beside

KEY = "SHOWTELL_KEY"
_HELLO = 48
_PATIENCE = 10.0


def watch_machines(ranks: Ranks, run_dir: Path) -> None:
    """Starts the process of this machine, where the ranks are on several; every rank must ask, once they have joined.

    Args:
        ranks: that have joined.
        run_dir: of rank 0.
    """
    if ranks.size == ranks.local_size:
        return
    server = _listening() if ranks.rank == 0 else None
    told = (server.getsockname()[1], secrets.token_hex(16)) if server else None
    port, key = broadcast(told) or (0, "")
    if ranks.local_rank == 0:
        # the key travels in the environment, which other users cannot read
        words = ["showtell.launching.machines", os.getpid(), ranks.rank, run_dir, port]
        start_beside(words, server.fileno() if server else subprocess.DEVNULL, {KEY: key})
    if server:
        server.close()


def _listening() -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


class Machine:
    """Another machine: a rank there, the line to it, and when something came from it."""

    def __init__(self, rank: int, line: socket.socket) -> None:
        line.setblocking(False)
        self.rank = rank
        self.line = line
        self.seen = time.monotonic()

    def listen(self, now: float) -> bool:
        """Takes note of signs of life; False once the connection has ended."""
        try:
            if self.line.recv(4096):
                self.seen = now
                return True
        except BlockingIOError:
            return True
        except OSError:
            pass
        self.line.close()
        return False

    def beat(self) -> None:
        """Sends a sign of life."""
        with suppress(OSError):  # a frozen machine takes none
            self.line.send(b".")


class Machines:
    """The other machines that this one hears."""

    def __init__(self, server: socket.socket | None, key: str) -> None:
        self.server = server
        self.key = key
        self.known: list[Machine] = []
        self.listened = self.sent = time.monotonic()

    def connect(self, host: str, port: int, rank: int) -> None:
        """Makes this machine known to rank 0's."""
        line = socket.create_connection((host, port), _PATIENCE)
        line.sendall(f"{self.key} {rank}".ljust(_HELLO).encode())
        self.known.append(Machine(0, line))

    def silent(self) -> Machine | None:
        """Waits up to a second for signs of life; a machine that has sent none for too long."""
        lines = [machine.line for machine in self.known]
        ready = select.select([*lines, *([self.server] if self.server else [])], [], [], BEAT_SECONDS)[0]
        now = time.monotonic()
        if self.server in ready:
            self._accept()
        self.known = [machine for machine in self.known if machine.listen(now)]
        if now - self.sent >= BEAT_SECONDS:
            self.sent = now
            for machine in self.known:
                machine.beat()
        if now - self.listened > MACHINE_SILENCE_SECONDS / 2:  # this machine was suspended
            for machine in self.known:
                machine.seen = now
        self.listened = now
        return next((machine for machine in self.known if now - machine.seen > MACHINE_SILENCE_SECONDS), None)

    def _accept(self) -> None:
        """Takes a connection if it brings the key."""
        assert self.server is not None
        line, _ = self.server.accept()
        line.settimeout(1.0)
        with suppress(OSError):
            key, _, rank = line.recv(_HELLO, socket.MSG_WAITALL).decode("ascii", "replace").partition(" ")
            if secrets.compare_digest(key.encode(), self.key.encode()) and rank.strip().isdigit():
                self.known.append(Machine(int(rank), line))
                return
        line.close()


def main() -> None:
    """Listens until the rank has ended, or ends it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    pid, rank, run_dir, port = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    machines = Machines(socket.socket(fileno=os.dup(0)) if rank == 0 else None, os.environ.pop(KEY))
    host = os.environ.get("MASTER_ADDR", "")
    if rank:
        try:
            machines.connect(host, port, rank)
        except OSError as error:
            reason = f"rank {rank} cannot reach {host}:{port} ({error.strerror or error})"
            print(f"note: {reason}; a machine that freezes is noticed after device.timeout_seconds", file=sys.stderr)
            return
    while os.getppid() == pid:
        silent = machines.silent()
        if silent:
            how = f"the machine of rank {silent.rank} was silent for {MACHINE_SILENCE_SECONDS:.0f} s"
            end_rank(pid, rank, run_dir, how)
            return


if __name__ == "__main__":
    main()
