"""The leaderboard in a terminal."""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from showtell.leaderboard.compare import Leaderboard, Row

MAX_ROWS = 30
SHOWN_BESIDES = ("val/cider", "val/bleu4", "val/true", "val/loss")


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


def short_names(keys: list[str]) -> dict[str, str]:
    """`decoder.hidden_size` as `hidden_size`, where that is unambiguous; `name` alone would say nothing."""
    lasts = [key.rpartition(".")[2] for key in keys]
    return {
        key: last if lasts.count(last) == 1 and last != "name" else key for key, last in zip(keys, lasts, strict=True)
    }


def shown(value: object) -> str:
    """A parameter's value as text: the digits that a person would write."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)
