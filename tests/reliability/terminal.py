"""train.py in a terminal of its own, which can be closed."""

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from pathlib import Path

from tests.conftest import REPOSITORY

TRAIN = [sys.executable, str(REPOSITORY / "train.py")]
ENVIRONMENT = {
    **os.environ, "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}", "OMP_NUM_THREADS": "1", "TERM": "xterm",
}  # fmt: skip


class InTerminal:
    """`process` works in the folder `place`; `said` is what it has printed."""

    def __init__(self, words: list[str], place: Path, **environment: str) -> None:
        self.place, self.said = place, ""
        self._terminal, inside = pty.openpty()
        self.process = subprocess.Popen(
            [*TRAIN, *words], stdin=inside, stdout=inside, stderr=inside, cwd=place,
            env=ENVIRONMENT | environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(inside)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(OSError, ValueError):  # closed, by either side
            while True:
                if select.select([self._terminal], [], [], 0.1)[0]:  # a read that waits would keep it open
                    self.said += os.read(self._terminal, 65536).decode(errors="replace")

    def close(self) -> None:
        """Closes the terminal, once."""
        terminal, self._terminal = self._terminal, -1
        if terminal >= 0:
            os.close(terminal)
