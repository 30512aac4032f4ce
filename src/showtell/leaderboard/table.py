"""The leaderboard in a terminal: what was varied, the score and the state are whole at any width.

The rest is there where it fits. What says nothing has no column: `n` where no run was repeated, `epochs` where all runs
trained equally many.
"""

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from showtell.leaderboard.compare import Leaderboard, Row, short_names, shown

MAX_ROWS = 30
CHANCE = ("95% interval", "differs from #1")
SHOWN_BESIDES = ("test/cider", "val/cider", "val/bleu4", "val/true", "val/loss")
REPEATS = "mean ± standard deviation over the n runs of a row, which differ only by their seed"


def print_table(board: Leaderboard, console: Console) -> None:
    """Prints the best rows."""
    console.print(first_that_fits(_layouts(board), console))
    if any(len(row.runs) > 1 for row in board.rows):
        console.print(REPEATS, highlight=False)
    if board.chances:
        from showtell.leaderboard.chance import explained

        console.print("\n".join(explained(board.chances)), markup=False, highlight=False)
    if board.parameters:
        from showtell.leaderboard.decides import sentences  # here: a sweep's display needs no numpy

        console.print(*sentences(board), sep="\n", markup=False, highlight=False)
    if len(board.rows) > MAX_ROWS:
        console.print(f"... and {len(board.rows) - MAX_ROWS} more rows in leaderboard.csv", highlight=False)


def first_that_fits(tables: Iterable[Table], console: Console) -> Table:
    """The first table of which nothing has to be cut or wrapped; the last where there is none."""
    table = Table()
    endless = console.options.update(max_width=100_000)
    for table in tables:
        if console.measure(table, options=endless).maximum <= console.width:
            break
    return table


def _layouts(board: Leaderboard) -> Iterator[Table]:
    """From the widest to the narrowest; in the last one, what was varied is one column that can be wrapped."""
    besides = [name for name in SHOWN_BESIDES if name in board.metrics and name != board.metric]
    counts = []
    if any(len(row.runs) > 1 for row in board.rows):
        counts.append("n")
    if len({row.epochs for row in board.rows}) > 1:
        counts.append("epochs")
    for chance in (True, False) if board.chances else (False,):
        for count in range(len(besides), -1, -1):
            yield _table(board, [board.metric, *besides[:count]], counts, chance=chance)
    for fewer in (counts[:1], []):
        yield _table(board, [board.metric], fewer)
    for fewer in (counts, counts[:1]):
        yield _table(board, [board.metric], fewer, joined=True)


def _table(
    board: Leaderboard, metrics: Sequence[str], counts: Sequence[str], joined: bool = False, chance: bool = False
) -> Table:
    count = f"{len(board.runs)} run{'s' if len(board.runs) != 1 else ''}"
    better = "lower" if board.mode == "min" else "higher"
    title = f"{count} by {board.metric}, {better} is better"
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    names = short_names(board.parameters)
    table.add_column("#", justify="right", no_wrap=True)
    for name in ["varied"] * bool(board.parameters) if joined else names.values():
        table.add_column(escape(name), overflow="fold")
    for name in (*metrics[:1], *CHANCE * chance, *metrics[1:], *counts, "state"):
        table.add_column(escape(name), justify="right", no_wrap=True)
    for rank, row in enumerate(board.rows[:MAX_ROWS], 1):
        values = {names[key]: shown(row.parameters[key]) for key in board.parameters}
        if joined and values:
            values = {"varied": " ".join(f"{name}={value or 'none'}" for name, value in values.items())}
        told = {"n": str(len(row.runs)), "epochs": row.epochs}
        cells = [
            *map(escape, values.values()),
            *(_score(row, name) for name in metrics[:1]),
            *(map(escape, _chance(board, rank - 1)) if chance else ()),
            *(_score(row, name) for name in metrics[1:]),
            *(told[name] for name in counts),
        ]
        table.add_row(str(rank), *cells, row.state)
    return table


def _score(row: Row, metric: str) -> str:
    score = row.score(metric)
    return "" if score is None else str(score)


def _chance(board: Leaderboard, place: int) -> tuple[str, str]:
    one = board.chances.get(place)
    return ("", "") if one is None else (one.interval.text, one.verdict)
