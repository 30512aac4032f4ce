"""Whether another process lives, seen from outside: by what it sends on a line, and by the CPU time that it spends.

A thread of the process sends a byte every second (`rank`), so a slow step is no silence, but a stopped process is. The
CPU time keeps a process alive whose threads cannot send: one call of C that reads a gigabyte of JSON lets no other
thread of Python run.
"""

import socket
import time
from contextlib import suppress
from pathlib import Path

from showtell.launching.protocol import SILENCE_SECONDS


class Pulse:
    """When a process last showed that it lives.

    Args:
        line: what it sends its signs of life on.
        pid: its number on this machine.
    """

    def __init__(self, line: socket.socket, pid: int) -> None:
        line.setblocking(False)
        self.line = line
        self.pid = pid
        self.seen = self.listened = time.monotonic()
        self._ticks = 0

    def listen(self) -> bool:
        """Takes note of signs of life; False once there was none for `SILENCE_SECONDS`. To be asked every second."""
        now, ticks = time.monotonic(), cpu_ticks(self.pid)
        # who asks so late was suspended, perhaps together with the process or the whole machine
        if self._heard() or ticks != self._ticks or now - self.listened > SILENCE_SECONDS / 2:
            self.seen = now
        self.listened, self._ticks = now, ticks
        return now - self.seen <= SILENCE_SECONDS

    def _heard(self) -> bool:
        with suppress(OSError):  # nothing new, or the end
            return bool(self.line.recv(4096))
        return False


def cpu_ticks(pid: int) -> int:
    """User and system time of a process in ticks; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return 0
