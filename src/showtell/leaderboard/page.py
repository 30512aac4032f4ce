"""`leaderboard.html`: one file that shows everything without a network, a server or a neighbour file.

plotly.js is embedded (4.7 MB), so the page can be mailed. Links to a run's gallery, captions and curves work as long as
the page lies where it was written. Names come from folders and configurations, which anybody may have written: all text
is escaped.
"""

import json
import os
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from showtell.leaderboard.compare import Leaderboard, Row, short_names, shown
from showtell.leaderboard.plots import Figure, curves, folder_name, metric_by_parameter, parallel_coordinates
from showtell.leaderboard.runs import ComparedRun

LINKS = {"gallery": "gallery.html", "captions": "predictions/grid.png", "metrics": "metrics.csv", "log": "out.log"}
ASSETS = Path(__file__).parent
NO_PLOTS = "<p>No plots: there is nothing to compare, or plotly is missing (<code>pip install '.[sweep]'</code>).</p>"


def render(board: Leaderboard, folder: Path) -> str:
    """The page; links to runs are relative to the folder in which it will lie."""
    plots = _plots(board)
    script = plotly_script() if any(plots.values()) else None
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Leaderboard: {len(board.runs)} runs</title><style>{_asset('page.css')}</style></head><body><main>",
        _head(board),
        _table(board, folder),
        _decides(board),
        _sections(plots) if script else NO_PLOTS,
        f"<script>{script}</script>" if script else "",
        f'<script type="application/json" id="figures">{_json(plots)}</script>' if script else "",
        f"<script>{_asset('page.js')}</script></main></body></html>\n",
    ]
    return "\n".join(parts)


def plotly_script() -> str | None:
    """plotly.js as the `plotly` package carries it; None where that is not installed."""
    try:
        import plotly
    except ModuleNotFoundError:
        return None
    # a file of the package rather than plotly.offline, whose import takes longer than all the rest of the page
    return (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _plots(board: Leaderboard) -> dict[str, list[Figure]]:
    parallel, lines = parallel_coordinates(board), curves(board)
    return {
        "parallel": [parallel] if parallel else [],
        "parameters": metric_by_parameter(board),
        "curves": [lines] if lines else [],
    }


def _head(board: Leaderboard) -> str:
    best, direction = board.rows[0], "lower" if board.mode == "min" else "higher"
    score = best.score(board.metric)
    chosen = ", ".join(f"{key}={shown(value)}" for key, value in best.parameters.items() if shown(value))
    won = f"Best: <b>{escape(str(score))}</b> {'with ' + escape(chosen) if chosen else ''}" if score else ""
    counted = f"{len(board.runs)} runs by <b>{escape(board.metric)}</b> ({direction} is better)."
    return (
        f"<h1>Leaderboard</h1><p>{counted} {won}</p>"
        "<p class=hint>Runs that differ only by their seed share a row: n is how many they are, a score "
        "is their mean ± standard deviation. A click on a heading sorts.</p>"
        f"{_explained(board)}"
    )


def _explained(board: Leaderboard) -> str:
    if not board.chances:
        return ""
    from showtell.leaderboard.chance import explained

    meaning, signature = explained(board.chances)
    alike = [rank for rank in range(2, len(board.rows) + 1) if _is_alike(board, rank - 1)]
    told = f" Rows that cannot be told from #1: {', '.join(map(str, alike))}." if alike else ""
    return f"<p class=hint>{escape(meaning)}.{told}</p><p class=hint>{escape(signature)}</p>"


def _is_alike(board: Leaderboard, place: int) -> bool:
    one = board.chances.get(place)
    return one is not None and one.against_best is not None and not one.against_best.is_told


def _decides(board: Leaderboard) -> str:
    from showtell.leaderboard.decides import sentences

    lines = "".join(f"<li>{escape(line)}</li>" for line in sentences(board))
    return f"<section id=decides><h2>What this decides</h2><ul>{lines}</ul></section>" if lines else ""


def _table(board: Leaderboard, folder: Path) -> str:
    numbers = {id(run): place for place, run in enumerate(board.runs)}
    rows = [_cells(rank, row, board, folder, numbers) for rank, row in enumerate(board.rows, 1)]
    heads = "".join(
        f'<th scope=col aria-sort=none class="{kind}"><button type=button>{escape(head)}</button></th>'
        for head, kind, _, _ in rows[0]
    )
    body = "".join(
        f'<tr class="{escape(row.state)}">{"".join(_cell(*cell) for cell in cells)}</tr>'
        for row, cells in zip(board.rows, rows, strict=True)
    )
    every = "<label id=every><input type=checkbox> all columns</label>"  # a phone shows the first ones alone
    return f"{every}<div class=wide><table id=board><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"


def _cells(rank: int, row: Row, board: Leaderboard, folder: Path, numbers: dict[int, int]) -> list[tuple[str, ...]]:
    """Heading, class, HTML and what the cell is sorted by, of each cell of a row."""
    names = short_names(board.parameters)
    links = "".join(_run(run, folder, numbers[id(run)]) for run in row.runs)
    scores = [(metric, "score", *_score(row, metric)) for metric in board.metrics]
    return [
        ("#", "rank", str(rank), ""),
        *((names[key], "", escape(shown(row.parameters[key])), "") for key in board.parameters),
        *scores[:1],
        *_chance(board, rank - 1),
        ("n", "", str(len(row.runs)), ""),
        ("state", "", escape(row.state), ""),
        ("runs", "runs", links, ""),  # not behind all the metrics, where nobody would find it
        *((metric, "further", text, by) for metric, _, text, by in scores[1:]),
        ("epochs", "further", row.epochs, ""),
        ("seconds", "further", f"{row.seconds:.0f}", ""),
    ]


def _chance(board: Leaderboard, place: int) -> list[tuple[str, ...]]:
    if not board.chances:
        return []
    one = board.chances.get(place)
    by = repr(one.against_best.p) if one and one.against_best else ""
    texts = (escape(one.interval.text), escape(one.verdict)) if one else ("", "")
    return [
        ("95% interval", "", texts[0], repr(one.interval.low) if one else ""),
        ("differs from #1", "", texts[1], by),
    ]


def _score(row: Row, metric: str) -> tuple[str, str]:
    score = row.score(metric)
    return ("", "") if score is None else (str(score), repr(score.mean))


def _cell(head: str, kind: str, content: str, sort_by: str) -> str:
    by = f' data-by="{sort_by}"' if sort_by else ""
    return f'<td class="{kind}" data-head="{escape(head)}"{by}>{content}</td>'


def _run(run: ComparedRun, folder: Path, number: int) -> str:
    parts = [f"<a href=#curves data-run={number}>curve</a>"]
    for name, file in LINKS.items():
        if (run.directory / file).is_file():
            path = os.path.relpath(run.directory / file, folder).replace(os.sep, "/")
            parts.append(f'<a href="{escape(quote(path))}">{name}</a>')
    seed = "" if run.seed is None else f"seed {escape(str(run.seed))}: "
    return f'<div title="{escape(folder_name(run))}">{seed}{" · ".join(parts)}</div>'


def _sections(plots: dict[str, list[Figure]]) -> str:
    titles = {
        "parallel": ("Parallel coordinates", "Drag along an axis to keep only the runs in a range."),
        "parameters": ("Metric against parameter", ""),
        "curves": ("Curves", "Hover for the run."),
    }
    return "".join(
        f"<section id={name}><h2>{title}</h2><p class=hint>{hint}</p><div class=plots></div></section>"
        for name, (title, hint) in titles.items()
        if plots[name]
    )


def _json(values: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(values, allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
