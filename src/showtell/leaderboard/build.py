"""Reads runs, prints the table, writes `leaderboard.csv` and `leaderboard.html`."""

import csv
import io
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from showtell.files import write_text_atomically
from showtell.leaderboard.compare import Leaderboard, Row, compare, short_names, shown
from showtell.leaderboard.page import render
from showtell.leaderboard.runs import find_runs

CSV_NAME = "leaderboard.csv"
WIDTH = 160  # of a table in a log file
PAGE_NAME = "leaderboard.html"
MAX_ROWS = 30
SHOWN_BESIDES = ("val/cider", "val/bleu4", "val/true", "val/loss")


def write_leaderboard(
    paths: Iterable[Path], folder: Path, metric: str | None = None, console: Console | None = None
) -> Leaderboard | None:
    """Compares the runs in the given folders and below; None where there is no run.

    Args:
        paths: run directories, or folders of them.
        folder: where the CSV file and the page go.
        metric: what decides; by default, what most runs chose their best epoch by.
        console: where the table goes; standard output by default.

    Raises:
        UserError: no run has the metric.
        OSError: the folder cannot be written.
    """
    runs = find_runs(paths)
    if not runs:
        return None
    board = compare(runs, metric)
    console = console or Console(width=None if sys.stdout.isatty() else WIDTH)
    print_table(board, console)
    write_text_atomically(folder / CSV_NAME, as_csv(board))
    write_text_atomically(folder / PAGE_NAME, render(board, folder))
    console.print(f"{folder / CSV_NAME}\n{folder / PAGE_NAME}", markup=False, highlight=False, soft_wrap=True)
    return board


def print_table(board: Leaderboard, console: Console) -> None:
    """Prints the best rows."""
    metrics = [board.metric, *(name for name in SHOWN_BESIDES if name in board.metrics and name != board.metric)]
    names = short_names(board.parameters)
    parameters = fitting(board, names, console.width - 14 * len(metrics) - 28)
    count = f"{len(board.runs)} run{'s' if len(board.runs) != 1 else ''}"
    table = Table(title=f"{count} by {board.metric} ({board.mode})", title_justify="left")
    table.add_column("#", justify="right")
    for key in parameters:
        table.add_column(escape(names[key]), overflow="fold")
    for name in metrics:
        table.add_column(escape(name), justify="right", no_wrap=True)
    for name in ("n", "epochs", "state"):
        table.add_column(name, justify="right", no_wrap=True)
    for rank, row in enumerate(board.rows[:MAX_ROWS], 1):
        table.add_row(str(rank), *_cells(row, parameters, metrics))
    console.print(table)
    if len(parameters) < len(board.parameters):
        left_out = ", ".join(names[key] for key in board.parameters if key not in parameters)
        console.print(f"no room for: {escape(left_out)}; leaderboard.csv has them")
    if len(board.rows) > MAX_ROWS:
        console.print(f"... and {len(board.rows) - MAX_ROWS} more rows in leaderboard.csv")


def fitting(board: Leaderboard, names: Mapping[str, str], room: int) -> list[str]:
    """The first parameters whose columns fit into so many characters; at least one."""
    kept: list[str] = []
    for key in board.parameters:
        room -= 3 + max(len(names[key]), *(len(shown(row.parameters[key])) for row in board.rows))
        if room < 0 and kept:
            break
        kept.append(key)
    return kept


def _cells(row: Row, parameters: list[str], metrics: list[str]) -> list[str]:
    scores = [row.score(name) for name in metrics]
    values = [shown(row.parameters[key]) for key in parameters]
    tail = [str(len(row.runs)), row.epochs, row.state]
    return [*map(escape, values), *("" if score is None else str(score) for score in scores), *tail]


def as_csv(board: Leaderboard) -> str:
    """One line per row of the leaderboard; a metric has its mean under its own name and the deviation beside it."""
    heads = ["rank", *board.parameters, "state", "n", "epochs", "seconds"]
    heads += [name for metric in board.metrics for name in (metric, f"{metric} sd")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*heads, "runs"])
    for rank, row in enumerate(board.rows, 1):
        writer.writerow([rank, *_values(row, board), ";".join(str(run.directory) for run in row.runs)])
    return text.getvalue()


def _values(row: Row, board: Leaderboard) -> list[object]:
    values: list[object] = [row.parameters[key] for key in board.parameters]
    values += [row.state, len(row.runs), row.epochs, round(row.seconds, 1)]
    for metric in board.metrics:
        score = row.score(metric)
        values += ["", ""] if score is None else [score.mean, "" if score.deviation is None else score.deviation]
    return values
