"""A progress line with rate and time left, for work that is not an epoch of training.

On a terminal it redraws itself; elsewhere (a log file, a pipe) it prints a line every ten seconds and one at the end,
so that logs stay short.
"""

import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """Counts units of work in a `with` block; `start` of them are done already. Unless `shown`, it is silent."""

    def __init__(self, what: str, total: int, unit: str, start: int = 0, *, shown: bool = True) -> None:
        speed = TextColumn(f"{unit}, {{task.fields[rate]}}")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), speed, TimeRemainingColumn())
        # no thread that refreshes it: worker processes are forked meanwhile
        self._bar = Bar(*columns, console=Console(stderr=True), auto_refresh=False)
        self._bar.add_task(what, total=total, completed=start, rate="")
        self._task = self._bar.tasks[0]
        self._unit, self._start, self._is_shown = unit, start, shown
        self._began = self._shown = time.monotonic()
        self._is_live = shown and self._bar.console.is_terminal

    def __enter__(self) -> Self:
        if self._is_live:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._show()
        if self._is_live:
            self._bar.stop()

    def advance(self, count: int = 1) -> None:
        """Adds finished units."""
        self.reach(int(self._task.completed) + count)

    def reach(self, done: int) -> None:
        """Sets how many units are finished."""
        rate = (done - self._start) / max(time.monotonic() - self._began, 1e-9)
        self._bar.update(self._task.id, completed=done, rate=f"{rate:.0f} {self._unit}/s")
        if time.monotonic() - self._shown > (0.2 if self._is_live else 10):
            self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        if self._is_live:
            self._bar.refresh()
        if self._is_live or not self._is_shown:
            return
        done, total = int(self._task.completed), int(self._task.total or 0)
        left = f", {self._task.time_remaining:.0f} s left" if self._task.time_remaining else ""
        line = f"{self._task.description}: {done}/{total} {self._unit}, {self._task.fields['rate']}{left}"
        print(line, file=sys.stderr, flush=True)
