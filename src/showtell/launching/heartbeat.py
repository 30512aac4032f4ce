"""Heartbeats: whether a process that is still there does anything, seen from outside.

All that watch others watch this way: the launcher its ranks, the watcher a rank of torchrun's, one machine another. A
rank's thread sends a byte every second, so a slow step is no silence, but a stopped process is. The CPU time that a
process spends keeps it alive too where Linux tells it: during one call of C that reads a gigabyte of JSON no other
thread of Python runs.
"""

import os
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

BEAT_SECONDS = 1.0
# without a heartbeat and without computing anything for so long, a rank counts as hung
SILENCE_SECONDS = 12.0
HUNG = f"was hung: no sign of life for {SILENCE_SECONDS:.0f} s"
# a network may be gone for longer
MACHINE_SILENCE_SECONDS = 20.0
# what a rank gets to save and end, once another one or who started it has gone
GRACE_SECONDS = 10.0


class Heartbeat:
    """When another process last showed that it lives: by a byte on its line or, on this machine, by computing.

    After `limit` seconds without either it counts as silent. `ended` tells whether the line has ended, which is no sign
    of life and no proof of the contrary.
    """

    def __init__(self, line: socket.socket, limit: float = SILENCE_SECONDS, pid: int | None = None) -> None:
        line.setblocking(False)
        self.line = line
        self.limit = limit
        self.pid = pid
        self.ended = False
        self.heard = self.asked = time.monotonic()
        self._ticks = 0

    def is_silent(self) -> bool:
        """Takes note of signs of life, and tells whether there was none for too long. To be asked every second."""
        now = time.monotonic()
        # who asks so late was suspended, perhaps together with the other or the whole machine
        if self._received() or self._has_computed() or now - self.asked > self.limit / 2:
            self.heard = now
        self.asked = now
        return now - self.heard > self.limit

    def send(self) -> None:
        """Sends a heartbeat to the other end, which may watch in turn."""
        with suppress(OSError):  # who is frozen takes none
            self.line.send(b".")

    def _received(self) -> bool:
        try:
            content = self.line.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            content = b""
        self.ended = not content
        return bool(content)

    def _has_computed(self) -> bool:
        before, self._ticks = self._ticks, cpu_ticks(self.pid) if self.pid else 0
        return self._ticks != before


def cpu_ticks(pid: int) -> int:
    """User and system time of a process in ticks; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return 0


def send_heartbeats(line: socket.socket, starter: int) -> None:
    """Has a thread send this process's heartbeats; once its starter has gone, it saves and ends as after SIGTERM."""
    threading.Thread(target=_beat, args=(line, starter), daemon=True).start()


def _beat(line: socket.socket, starter: int) -> None:
    line.settimeout(BEAT_SECONDS)
    while os.getppid() == starter:
        with suppress(OSError):  # a watcher that was stopped or killed is no reason to end
            line.send(b".")
        time.sleep(BEAT_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
