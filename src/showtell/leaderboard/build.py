"""Reads runs, prints the table, writes `leaderboard.csv` and `leaderboard.html`."""

import csv
import io
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from showtell.config.outputs import check_outputs
from showtell.files import write_text_atomically
from showtell.leaderboard.compare import Leaderboard, Row, compare
from showtell.leaderboard.page import render
from showtell.leaderboard.runs import find_runs
from showtell.leaderboard.table import print_table
from showtell.run import CONFIG, STATUS

CSV_NAME = "leaderboard.csv"
WIDTH = 160  # of a table in a log file
PAGE_NAME = "leaderboard.html"


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
    names = (CONFIG, STATUS, "metrics.csv")
    read = [("a file of a run", Path(run.directory) / name) for run in runs for name in names]
    check_outputs([("--out", folder / CSV_NAME), ("--out", folder / PAGE_NAME)], read)
    board = compare(runs, metric)
    console = console or Console(width=None if sys.stdout.isatty() else WIDTH)
    print_table(board, console)
    write_text_atomically(folder / CSV_NAME, as_csv(board))
    write_text_atomically(folder / PAGE_NAME, render(board, folder))
    console.print(f"{folder / CSV_NAME}\n{folder / PAGE_NAME}", markup=False, highlight=False, soft_wrap=True)
    return board


def as_csv(board: Leaderboard) -> str:
    """One line per row of the leaderboard; a metric has its mean under its own name and the deviation beside it.

    Of the metric that decides, `low` and `high` bound the 95% interval, and `p against best` is corrected for all rows.
    """
    heads = ["rank", *board.parameters, "state", "n", "epochs", "seconds"]
    heads += [name for metric in board.metrics for name in (metric, f"{metric} sd")]
    heads += [f"{board.metric} low", f"{board.metric} high", "p against best", "signature"] if board.chances else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*heads, "runs"])
    for rank, row in enumerate(board.rows, 1):
        values = [*_values(row, board), *_chance_values(board, rank - 1)]
        writer.writerow([rank, *values, ";".join(str(run.directory) for run in row.runs)])
    return text.getvalue()


def _values(row: Row, board: Leaderboard) -> list[object]:
    values: list[object] = [row.parameters[key] for key in board.parameters]
    values += [row.state, len(row.runs), row.epochs, round(row.seconds, 1)]
    for metric in board.metrics:
        score = row.score(metric)
        values += ["", ""] if score is None else [score.mean, "" if score.deviation is None else score.deviation]
    return values


def _chance_values(board: Leaderboard, place: int) -> list[object]:
    if not board.chances:
        return []
    one = board.chances.get(place)
    if one is None:
        return ["", "", "", ""]
    return [*one.interval.bounds, one.against_best.p if one.against_best else "", one.signature]
