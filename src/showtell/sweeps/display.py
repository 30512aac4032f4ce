"""What a sweep shows: a table that follows the jobs in a terminal, one line per event in a log file."""

import statistics
import time
from collections import Counter
from collections.abc import Collection, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from showtell.leaderboard.compare import short_names
from showtell.leaderboard.table import first_that_fits
from showtell.run import DONE, Run
from showtell.run.status import RunStatus
from showtell.sweeps.job import Job, Result, last_line

STYLES = {
    "finished": "green",
    "pruned": "yellow",
    "failed": "bold red",
    "stopped": "yellow",
    "busy": "yellow",
    "skipped": "dim",
}
REFRESH_SECONDS = 1.0
BESIDES = ("epoch", "time left")  # columns that a narrow terminal does without
# how the last line of a log begins while a job does something else than to start or to train
BEFORE_TRAINING = {
    "captions": "tokenizing", **{word: word for word in ("drawing", "encoding", "indexing", "waiting")}
}  # fmt: skip


class Display:
    """Follows the jobs of a sweep, `total` of them, through the `status.json` of their folders."""

    def __init__(self, total: int, console: Console | None = None) -> None:
        self.total = total
        self.console = console or Console(soft_wrap=True)
        self.results: list[Result] = []
        self._begun: dict[Job, float] = {}  # the jobs that run; when they began, had they never been stopped
        self._lasted: list[float] = []  # seconds that jobs took from beginning to end
        self._slots = 1
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
            self.update()
            self._live.stop()

    def started(self, job: Job, resumed: bool) -> None:
        """A job was started."""
        self._begun[job] = time.time() - (_status(job).seconds if resumed else 0)
        self._slots = max(self._slots, len(self._begun))
        self._line(f"{'resumed ' if resumed else 'started '} {job.title}")

    def ended(self, result: Result) -> None:
        """A job came to its end, in whatever way."""
        self.results.append(result)
        begun = self._begun.pop(result.job, None)
        if begun is not None and result.state in DONE:
            self._lasted.append(time.time() - begun)
        reason = f"  {result.reason}" if result.reason else ""
        counted = f"[{self.done} of {self.total} done{self._left(time.time())}]"
        self._line(f"{result.state:9}{result.job.title}  {best(_status(result.job))}{reason}  {counted}")

    def note(self, text: str) -> None:
        """Something else happened."""
        self.console.print(text, markup=False, highlight=False)

    def update(self) -> None:
        """Draws the table afresh, at most once a second."""
        now = time.time()
        if self._following and now - self._drawn >= REFRESH_SECONDS:
            self._drawn = now
            self._live.update(self._table(now), refresh=True)

    @property
    def done(self) -> int:
        """How many jobs there is nothing left to do for."""
        return sum(result.state in (*DONE, "skipped") for result in self.results)

    def seconds_left(self, now: float) -> float | None:
        """An estimate for the whole sweep, in which the jobs that wait are like the others; None means unknown."""
        running = [(now - begun, _status(job).seconds_left(now)) for job, begun in self._begun.items()]
        lengths = [*self._lasted, *(passed + left for passed, left in running if left is not None)]
        if not lengths:
            return None
        mean = statistics.fmean(lengths)
        known = [max(0.0, mean - passed) if left is None else left for passed, left in running]
        return max([*known, (sum(known) + self._waiting * mean) / self._slots])

    @property
    def _waiting(self) -> int:
        return self.total - len(self.results) - len(self._begun)

    def _left(self, now: float) -> str:
        left = self.seconds_left(now)
        return f", about {duration(left)} left" if left else ""

    def _line(self, text: str) -> None:
        if not self._following:
            self.note(text)

    def _table(self, now: float) -> Group:
        room = max(4, self.console.height // self._lines_of_a_job() - len(self._begun) - 6)
        rows = []
        for result in self.results[-room:]:
            status, style = _status(result.job), STYLES[result.state]
            rows.append((result.job, status, f"[{style}]{result.state}[/]", ""))
        for job in self._begun:
            status = _status(job)
            left = status.seconds_left(now)
            rows.append((job, status, _stage(job, status), "" if left is None else duration(left)))
        layouts = (_columns(rows, BESIDES[place:]) for place in range(len(BESIDES) + 1))
        return Group(self._title(now), first_that_fits(layouts, self.console))

    def _lines_of_a_job(self) -> int:
        """How many lines a name takes beside state and score."""
        jobs = [*self._begun, *(result.job for result in self.results)]
        longest = max((len(short_title(job)) for job in jobs), default=0)
        return 1 + longest // max(20, self.console.width - 35)

    def _title(self, now: float) -> str:
        counts = Counter(result.state for result in self.results)
        parts = [f"{self.done} of {self.total} done", f"{len(self._begun)} running", f"{self._waiting} waiting"]
        parts += [
            f"[{STYLES[state]}]{counts[state]} {state}[/]" for state in ("failed", "stopped", "busy") if counts[state]
        ]
        return ", ".join(parts) + self._left(now)


def _columns(rows: Sequence[tuple[Job, RunStatus, str, str]], besides: Collection[str]) -> Table:
    """The table with some of the columns `besides`; only the jobs' names are ever wrapped."""
    table = Table(box=None, pad_edge=False)
    table.add_column("job", overflow="fold")
    for name in ("state", "best", *besides):
        table.add_column(name, no_wrap=True)
    for job, status, state, left in rows:
        cells = {"epoch": epochs(status), "time left": left}
        table.add_row(escape(short_title(job)), state, best(status), *(cells[name] for name in besides))
    return table


def short_title(job: Job) -> str:
    """What a job is called where room is scarce: `hidden_size=100` for `decoder.hidden_size=100`."""
    words = [word.partition("=") for word in job.title.split(" ")]
    names = short_names([key.lstrip("+") for key, equals, _ in words if equals])
    return " ".join(names.get(key.lstrip("+"), key) + equals + value for key, equals, value in words)


def _stage(job: Job, status: RunStatus) -> str:
    """What a job that runs is doing; until it trains, its log knows."""
    if status.state == "running":
        return "running"
    word = last_line(Run(job.directory).log_file).partition(" ")[0]
    return BEFORE_TRAINING.get(word, "starting")


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
