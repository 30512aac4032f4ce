"""A progress line with rate and time left, for work that is not an epoch of training.

On a terminal it redraws itself; elsewhere (a log file, a pipe) it prints a line every ten seconds, so that logs stay
short.
"""

import sys
import time


class Progress:
    """Counts units of work and prints how fast they go and how long the rest will take."""

    def __init__(self, what: str, total: int, unit: str, start: int = 0) -> None:
        self.what = what
        self.total = total
        self.unit = unit
        self.done = self.start = start
        self.began = self.printed = time.monotonic()
        self.live = sys.stderr.isatty()

    def advance(self, count: int) -> None:
        """Adds finished units."""
        self.reach(self.done + count)

    def reach(self, done: int) -> None:
        """Sets how many units are finished."""
        self.done = done
        if time.monotonic() - self.printed > (0.2 if self.live else 10):
            self._print("\r" if self.live else "\n")

    def close(self) -> None:
        """Prints the final line."""
        self._print("\n")

    def _print(self, end: str) -> None:
        self.printed = now = time.monotonic()
        rate = (self.done - self.start) / max(now - self.began, 1e-9)
        left = (self.total - self.done) / rate if rate else 0.0
        timing = (
            f"{rate:.0f} {self.unit}/s, {left:.0f} s left" if self.done < self.total else f"{rate:.0f} {self.unit}/s"
        )
        print(
            f"{self.what}: {self.done}/{self.total} {self.unit}, {timing}   ",
            end=end,
            file=sys.stderr,
            flush=True,
        )
