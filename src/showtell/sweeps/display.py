"""What a sweep shows: a table that follows the jobs in a terminal, one line per event in a log file."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from showtell.run import Run, RunStatus
from showtell.sweeps.job import Job, Result

STYLES = {
    "finished": "green",
    "pruned": "yellow",
    "failed": "bold red",
    "stopped": "yellow",
    "busy": "yellow",
    "skipped": "dim",
}
REFRESH_SECONDS = 1.0


class Display:
    """Follows the jobs of a sweep, `total` of them, through the `status.json` of their folders."""

    def __init__(self, total: int, console: Console | None = None) -> None:
        self.total = total
        self.console = console or Console(soft_wrap=True)
        self.results: list[Result] = []
        self._live = Live(console=self.console, auto_refresh=False, vertical_overflow="crop")
        self._drawn = 0.0
        self._following = self.console.is_terminal

    def __enter__(self) -> "Display":
        """Begins."""
        if self._following:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the last table standing."""
        if self._following:
            self._drawn = 0.0
            self.update([])
            self._live.stop()

    def started(self, job: Job, resumed: bool) -> None:
        """A job was started."""
        self._line(f"{'resumed ' if resumed else 'started '} {job.title}")

    def ended(self, result: Result) -> None:
        """A job came to its end, in whatever way."""
        self.results.append(result)
        status = _status(result.job)
        reason = f"  {result.reason}" if result.reason else ""
        self._line(f"{result.state:9}{result.job.title}  {best(status)}{reason}  [{len(self.results)} of {self.total}]")

    def note(self, text: str) -> None:
        """Something else happened."""
        self.console.print(text, markup=False, highlight=False)

    def update(self, running: Sequence[Job]) -> None:
        """Draws the table afresh, at most once a second."""
        now = time.time()
        if self._following and now - self._drawn >= REFRESH_SECONDS:
            self._drawn = now
            self._live.update(self._table({job: _status(job) for job in running}, now), refresh=True)

    def _line(self, text: str) -> None:
        if not self._following:
            self.note(text)

    def _table(self, running: Mapping[Job, RunStatus], now: float) -> Table:
        table = Table(title=self._title(running, now), title_justify="left", box=None, pad_edge=False)
        for column in ("job", "state", "epoch", "best", "time left"):
            table.add_column(column, overflow="ellipsis", no_wrap=True)
        room = max(4, self.console.height - len(running) - 6)
        for result in self.results[-room:]:
            status = _status(result.job)
            style = STYLES[result.state]
            table.add_row(escape(result.job.title), f"[{style}]{result.state}[/]", epochs(status), best(status), "")
        for job, status in running.items():
            state = "running" if status.state == "running" else "starting"
            left = status.seconds_left(now)
            remaining = "" if left is None else duration(left)
            table.add_row(escape(job.title), state, epochs(status), best(status), remaining)
        return table

    def _title(self, running: Mapping[Job, RunStatus], now: float) -> str:
        failed = sum(result.state == "failed" for result in self.results)
        waiting = self.total - len(self.results) - len(running)
        parts = [f"{len(self.results)} of {self.total} done", f"{len(running)} running", f"{waiting} waiting"]
        return ", ".join([*parts, f"[bold red]{failed} failed[/]"] if failed else parts)


def summary(results: Sequence[Result], total: int) -> str:
    """How many ended how, and each failure with its reason and its log."""
    counts = Counter(result.state for result in results)
    if total > len(results):
        counts["not started"] = total - len(results)
    lines = [f"{total} jobs: " + ", ".join(f"{count} {state}" for state, count in counts.items())]
    for result in results:
        if result.failed:
            lines += [f"{result.state}: {result.job.title}", f"    {result.reason}"]
            lines.append(f"    {Run(result.job.directory).log_file}")
    return "\n".join(lines)


def _status(job: Job) -> RunStatus:
    return Run(job.directory).status() or RunStatus()


def epochs(status: RunStatus) -> str:
    """`3/10`."""
    return f"{status.epoch}/{status.max_epochs}" if status.max_epochs else ""


def best(status: RunStatus) -> str:
    """`val/loss 2.3456`."""
    return "" if status.best is None else f"{status.monitor} {status.best:.4f}"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
