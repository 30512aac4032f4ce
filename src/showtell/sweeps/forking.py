"""The sweep's side of the nursery: a process that forks jobs, and a job that was forked."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

from showtell.sweeps import nursery
from showtell.sweeps.process import LOCK_NAME, GuardedProcess, Launch, Program

# what a job may find otherwise than the nursery: read by our own code, or by CUDA when it is first asked for
LATE_VARIABLES = ("CUDA_VISIBLE_DEVICES", "SHOWTELL_STUDY", "SHOWTELL_TRIAL")
_ROOM = 4096
_KILL_SECONDS = 5.0
_CLOSE_SECONDS = 2.0


class Nursery:
    """A process that has imported what jobs import, and forks them.

    Args:
        program: what trains one run.
        environment: what all jobs find beyond the sweep's environment.
    """

    def __init__(self, program: Program, environment: Mapping[str, str]) -> None:
        self.command = program.command[:2]
        self.environment = dict(environment)
        self._line, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as printed:
            self._process = subprocess.Popen(
                [sys.executable, nursery.__file__, self.command[1], " " * _ROOM, *program.modules],
                stdin=theirs.fileno(),
                stdout=printed,
                stderr=printed,
                env={**os.environ, **self.environment},
                start_new_session=True,  # Ctrl-C is the sweep's business
            )

    def start(self, launch: Launch) -> "ForkedProcess | GuardedProcess":
        """Has a job forked, or starts it anew where it wants what the nursery cannot give."""
        unlike = {name for name, value in launch.environment.items() if self.environment.get(name) != value}
        if launch.command[:2] == self.command and unlike <= set(LATE_VARIABLES):
            with contextlib.suppress(OSError):  # the nursery has died
                return ForkedProcess(launch, self._line)
        return GuardedProcess(launch)

    def close(self) -> None:
        """Ends the nursery; jobs are not its children and go on."""
        self._line.close()
        try:
            self._process.wait(_CLOSE_SECONDS)  # by itself, so that the jobs' CPU time is counted as the sweep's
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class ForkedProcess:
    """A job from the nursery, in a session of its own; if the nursery dies before it is born, a `GuardedProcess`.

    Its guard is no child of the sweep, so it tells its number and in the end the exit code through a socket, whose end
    is the guard's end. The job must be polled to its end or killed.

    Args:
        launch: the job.
        line: to the nursery.

    Raises:
        OSError: the nursery has died.
    """

    def __init__(self, launch: Launch, line: socket.socket) -> None:
        launch.directory.mkdir(parents=True, exist_ok=True)
        self._launch = launch
        self._said = b""
        self._ended = False
        self._stopped = False
        self._instead: GuardedProcess | None = None
        self._door, theirs = socket.socketpair()
        order = nursery.Order(
            list(launch.command), str(launch.directory / LOCK_NAME), str(launch.log), dict(launch.environment)
        )
        with theirs:
            try:
                socket.send_fds(line, [b"!"], [theirs.fileno()])
            except OSError:
                self._door.close()
                raise
        self._door.setblocking(False)
        self._unsent = order.packed()
        self._exchange()

    def poll(self) -> int | None:
        """The exit code, 128 + n for a signal, or None while the job waits or runs."""
        if self._instead:
            return self._instead.poll()
        self._exchange()
        if not self._ended:
            return None
        self._door.close()
        if self._group is None and not self._stopped:
            self._instead = GuardedProcess(self._launch)
            return None
        self._clear_away()
        # without a word somebody has killed the guard, or the nursery before there was one
        return int(self._words[1]) if len(self._words) > 1 else 128 + signal.SIGKILL

    def stop(self) -> None:
        """Asks the job to save and exit."""
        if self._instead:
            self._instead.stop()
        elif not self._ended:
            self._stopped = True
            self._unsent += b"!"
            self._exchange()

    def kill(self) -> None:
        """Ends the job and everything it started, at once."""
        if self._instead:
            self._instead.kill()
            return
        self._unsent = b""
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_WR)  # who has not told a number by now will not be born
        self._exchange()
        self._clear_away()
        until = time.monotonic() + _KILL_SECONDS
        while self._group and not self._ended and time.monotonic() < until:
            time.sleep(0.01)
            self._exchange()
        self._door.close()

    @property
    def _words(self) -> list[bytes]:
        return self._said.split(b"\n")[:-1]

    @property
    def _group(self) -> int | None:
        return int(self._words[0]) if self._words else None

    def _exchange(self) -> None:
        """Sends what is left of the order, and listens."""
        with contextlib.suppress(OSError):  # no room for now, or nobody there; what was said before can still be heard
            while self._unsent:
                self._unsent = self._unsent[self._door.send(self._unsent) :]
        try:
            while part := self._door.recv(4096):
                self._said += part
            self._ended = True
        except BlockingIOError:
            pass
        except OSError:  # the other end was closed with something unread in it
            self._ended = True

    def _clear_away(self) -> None:
        if self._group is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, signal.SIGKILL)
