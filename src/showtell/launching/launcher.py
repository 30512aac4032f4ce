"""Starts the ranks of a run on this machine, passes signals on, and ends all of them when one dies or hangs.

A rank has failed when it ends otherwise than by 0 or a saved stop, or when it is silent (`heartbeat`). What that does
not catch is a collective in which ranks wait for one another for ever, each alive; those time out after
`device.timeout_seconds`. The others get `GRACE_SECONDS` to save the last step, then they are killed.

Ranks stay in this process's group, so that a terminal, a sweep's supervisor or a batch system reaches them all. Nothing
heavy is imported here: the launcher is a process of some 50 MB that sleeps.
"""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from showtell.distributed import RENDEZVOUS
from showtell.errors import USER_ERROR
from showtell.launching.heartbeat import GRACE_SECONDS, HUNG, Heartbeat
from showtell.ownership import handed_on
from showtell.processes import (
    SIGNALS,
    catching,
    exit_code,
    module_environment,
    signal_name,
    thread_limits,
    train_command,
)
from showtell.run import Run
from showtell.temporaries import temporary_folder

LAUNCHER = "SHOWTELL_LAUNCHER"
# the exit code of a rank that ended because another one had
LOST_CONNECTION = 76
SAVED = tuple(128 + number for number in SIGNALS)
_POLL_SECONDS = 0.2
_TAIL = 4096


class Rank:
    """A rank as a process: its exit code once it has one, and its heartbeat."""

    def __init__(
        self, number: int, command: Sequence[str], environment: dict[str, str], files: Sequence[int] = ()
    ) -> None:
        self.number = number
        self.code: int | None = None
        self.errors: IO[bytes] | None = tempfile.TemporaryFile() if number else None  # noqa: SIM115
        line, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL if number else None,  # rank 0 speaks for all
                stderr=self.errors,
                env=environment,
                pass_fds=files,
            )
        self.heartbeat = Heartbeat(line, pid=self._process.pid)

    def poll(self) -> int | None:
        """The exit code, 128 + n for a signal, or None while it runs."""
        code = self._process.poll()
        self.code = None if code is None else exit_code(code)
        return self.code

    def send(self, number: int) -> None:
        """Passes a signal on."""
        self._process.send_signal(number)

    def last_words(self) -> str:
        """The end of what it wrote to standard error, unless everybody has seen that already."""
        if self.errors is None:
            return ""
        self.errors.seek(max(0, self.errors.seek(0, os.SEEK_END) - _TAIL))
        return self.errors.read().decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Ends it, if it still runs, and lets go of its line and of what it wrote."""
        self.send(signal.SIGKILL)
        self._process.wait()
        self.heartbeat.line.close()
        if self.errors is not None:
            self.errors.close()


class Launcher:
    """Runs one run's ranks to their end; `run` gives the exit code."""

    def __init__(self, training: Run, count: int, lock: int | None = None) -> None:
        self.training = training
        self.count = count
        self.lock = [] if lock is None else [lock]  # that of the run's directory, as an open file
        self.ranks: list[Rank] = []
        self.signals: list[int] = []
        self.began = time.time()

    def run(self) -> int:
        """Starts the ranks and waits for them.

        Returns:
            0; 128 + n after a signal; otherwise the code of the rank that failed first, 1 for one that hung.
        """
        with temporary_folder() as folder, catching(SIGNALS, self._handle):
            try:
                self._start(folder / "rendezvous")
                failure = self._watch()
                if self.signals and (not failure or self._impatient):
                    return 128 + self.signals[0]
                return self._explain(*failure) if failure else max(rank.code or 0 for rank in self.ranks)
            finally:
                for rank in self.ranks:
                    rank.close()

    @property
    def _impatient(self) -> bool:
        return self.signals.count(signal.SIGINT) > 1

    def _start(self, rendezvous: Path) -> None:
        own = {RENDEZVOUS: str(rendezvous), LAUNCHER: str(os.getpid())}
        for held in self.lock:
            own |= handed_on(held)
        for number in range(self.count):
            environment = {**os.environ, **environment_of_rank(number, self.count), **own}
            self.ranks.append(Rank(number, train_command(self.training.directory), environment, self.lock))

    def _watch(self) -> tuple[Rank, str] | None:
        """Waits until all ranks have ended; the rank that failed first and how, or None."""
        failure: tuple[Rank, str] | None = None
        deadline, passed_on = float("inf"), 0
        while running := [rank for rank in self.ranks if rank.poll() is None]:
            select.select([rank.heartbeat.line for rank in running], [], [], _POLL_SECONDS)
            time.sleep(_POLL_SECONDS / 4)  # a rank that has closed its line is always ready
            for number in self.signals[passed_on:]:
                self._pass_on(number)
                passed_on += 1
            failure = self._better(failure)
            if failure and deadline == float("inf"):
                deadline = time.monotonic() + GRACE_SECONDS
            if time.monotonic() > deadline:
                for rank in running:
                    rank.send(signal.SIGKILL)
        return self._better(failure)

    def _better(self, known: tuple[Rank, str] | None) -> tuple[Rank, str] | None:
        """A failure, or one that is nearer to the cause: a lost connection is another rank's fault."""
        if known and known[0].code != LOST_CONNECTION:
            return known
        for rank in self.ranks:
            if rank.code is None:
                if rank.heartbeat.is_silent():
                    rank.send(signal.SIGKILL)
                    return rank, HUNG
            elif rank.code > 128 and rank.code not in SAVED:
                return rank, f"was ended by {signal_name(rank.code)}"
            elif rank.code not in (0, LOST_CONNECTION, *SAVED):
                return rank, f"failed with exit code {rank.code}"
        lost = [rank for rank in self.ranks if rank.code == LOST_CONNECTION]
        return known or ((lost[0], "lost the connection to the others") if lost else None)

    def _pass_on(self, number: int) -> None:
        # a terminal sends SIGINT to all of us, and a second one would end the ranks at once
        passed = signal.SIGKILL if self._impatient else signal.SIGTERM if number == signal.SIGINT else number
        for rank in self.ranks:
            rank.send(passed)

    def _explain(self, rank: Rank, how: str) -> int:
        """Says which rank it was, unless rank 0 has said it all; and what to do."""
        code = rank.code or 1
        if code == self.ranks[0].code == USER_ERROR:
            return code
        words = rank.last_words()
        others = f"; all {len(self.ranks)} ranks were ended"
        reason = f"rank {rank.number} {how}{'' if code > 128 or how == HUNG else self._cause(rank, words)}"
        if rank.number or code > 128 or how == HUNG:
            if words:
                print("\n".join(f"rank {rank.number}: {line}" for line in words.splitlines()[-15:]), file=sys.stderr)
            self.training.record_failure(reason)  # rank 0 knows only that a connection broke, if it lived to say so
        saved = self.training.last.is_file()
        remedy = f"; go on with: python train.py resume={self.training}" if saved else ""
        print(f"error: {reason}{others}{remedy}", file=sys.stderr, flush=True)
        return 1 if how == HUNG else code

    def _cause(self, rank: Rank, words: str) -> str:
        """The exception's line, for a sweep's summary."""
        if rank.number:
            last = re.sub(r"^(\[rank\d+\]: |error: )", "", words.splitlines()[-1]) if words else ""
        else:
            status = self.training.status()
            last = (status.reason or "") if status and status.written >= self.began else ""
        return f": {last[:200]}" if last else ""

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(number)


def environment_of_rank(number: int, count: int) -> dict[str, str]:
    """Which rank it is, this very Showtell, its share of the cores, and a network that needs no name."""
    values = {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    if "GLOO_SOCKET_IFNAME" not in os.environ and Path("/sys/class/net/lo").exists():
        values["GLOO_SOCKET_IFNAME"] = "lo"
    return values | module_environment() | thread_limits(count)
