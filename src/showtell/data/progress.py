"""A progress line with time left, for work that is not an epoch of training.

On a terminal it redraws itself; elsewhere (a log file, a pipe) it prints a line every ten seconds and one at the end,
so that logs stay short.
"""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress(Bar):
    """Counts units of work in a `with` block; `start` of them are done already. Unless `shown`, it is silent."""

    def __init__(self, what: str, total: int, unit: str, start: int = 0, *, shown: bool = True) -> None:
        console = Console(stderr=True, quiet=not shown)
        if not console.is_terminal:
            console.width = 150  # a line stays one line
        columns = ("{task.description}", BarColumn(20), MofNCompleteColumn(), unit, TimeRemainingColumn())
        # no thread that refreshes it: worker processes are forked meanwhile
        super().__init__(*columns, console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._work = self.add_task(what, total=total, completed=start)
        self._drawn = time.monotonic()

    def count(self, units: int = 1) -> None:
        """Adds finished units."""
        self.reach(int(self.tasks[0].completed) + units)

    def reach(self, done: int) -> None:
        """Sets how many units are finished."""
        self.update(self._work, completed=done)
        is_terminal = self.console.is_terminal
        if time.monotonic() - self._drawn > (0.2 if is_terminal else 10):
            self._drawn = time.monotonic()
            self.refresh() if is_terminal else self.console.print(self.get_renderable())
