"""The plots of the page, as plain figures for plotly.js: parallel coordinates, metric against parameter, curves.

Plotly's Python side is not needed for that, only its JavaScript, which the `plotly` package carries; building the page
then takes a fraction of the time it takes to import `plotly.graph_objects`.
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from showtell.leaderboard.compare import Leaderboard, short_names, shown
from showtell.leaderboard.runs import ComparedRun, Value

Figure = dict[str, Any]

LOG_SPAN = 8.0
MAX_TICKS = 12
MARGIN = {"l": 60, "r": 30, "t": 40, "b": 50}
# colour-blind safe, and printed in gray it still runs from dark (the best) to light
COLOURS = "Viridis"


def parallel_coordinates(board: Leaderboard) -> Figure | None:
    """One line per run over its parameters and its metric; None where there is nothing to compare."""
    runs = scored(board)
    if len(runs) < 2 or not board.parameters:
        return None
    scores = [run.metric(board.metric) for run in runs]
    names = short_names(board.parameters)
    axes = [_axis(names[key], [run.parameters.get(key) for run in runs]) for key in board.parameters]
    line = {"color": scores, "colorscale": COLOURS, "reversescale": board.mode == "max", "showscale": True}
    trace = {"type": "parcoords", "line": line, "dimensions": [*axes, {"label": board.metric, "values": scores}]}
    return {"data": [trace], "layout": {"height": 420, "margin": {"l": 80, "r": 60, "t": 60, "b": 30}}}


def metric_by_parameter(board: Leaderboard) -> list[Figure]:
    """One plot per parameter: every run is a point, and a line joins the means."""
    runs = scored(board)
    names = short_names(board.parameters)
    told = [label for run, label in zip(board.runs, labels(board), strict=True) if run.metric(board.metric) is not None]
    return [_by_parameter(board, runs, told, key, names[key]) for key in board.parameters] if len(runs) > 1 else []


def curves(board: Leaderboard) -> Figure | None:
    """The metric over the epochs, one line per run in the order of `board.runs`; None where no run has a curve."""
    traces = []
    for run, label in zip(board.runs, labels(board), strict=True):
        epochs, values = run.curve(board.metric)
        style = {"mode": "lines" if len(epochs) > 1 else "markers", "name": label, "opacity": 0.8}
        traces.append({"type": "scatter", "x": epochs, "y": values, "hoverlabel": {"namelength": -1}, **style})
    if not any(trace["x"] for trace in traces):
        return None
    layout = {"xaxis": {"title": {"text": "epoch"}}, "yaxis": {"title": {"text": board.metric}}, "height": 460}
    layout["legend"] = {"orientation": "h", "y": -0.2}  # beside the plot, long names would leave little of it
    return {
        "data": traces,
        "layout": {**layout, "margin": MARGIN, "showlegend": len(traces) <= 12, "hovermode": "closest"},
    }


def scored(board: Leaderboard) -> list[ComparedRun]:
    """The runs that have the metric."""
    return [run for run in board.runs if run.metric(board.metric) is not None]


def labels(board: Leaderboard) -> list[str]:
    """What each of `board.runs` is called in a plot: what sets it apart, or its folder where nothing does.

    A folder's name lists all that the command line said, and is cut where that is long.
    """
    names, seeds = short_names(board.parameters), {run.seed for run in board.runs}
    told = []
    for run in board.runs:
        parts = [f"{names[key]}={shown(run.parameters.get(key)) or 'none'}" for key in board.parameters]
        told.append(" ".join([*parts, f"seed={run.seed}"] if len(seeds) > 1 else parts))
    times = Counter(told)
    return [text if times[text] == 1 else folder_name(run) for text, run in zip(told, board.runs, strict=True)]


def folder_name(run: ComparedRun) -> str:
    """The name of a run's folder."""
    return run.directory.absolute().name


def _by_parameter(board: Leaderboard, runs: Sequence[ComparedRun], told: list[str], key: str, name: str) -> Figure:
    values = [run.parameters.get(key) for run in runs]
    numeric = all(_is_number(value) for value in values)
    places: list[Any] = values if numeric else [shown(value) or "none" for value in values]
    scores = [run.metric(board.metric) or 0.0 for run in runs]
    points = {"mode": "markers", "x": places, "y": scores, "text": told}
    dots = {"marker": {"opacity": 0.6, "size": 8}}
    dashes = {"line": {"dash": "dot"}, "marker": {"symbol": "line-ew-open", "size": 14}}
    horizontal = {"title": {"text": name}, **(_number_scale(values) if numeric else {"type": "category"})}
    layout = {"xaxis": horizontal, "yaxis": {"title": {"text": board.metric}}, "height": 320, "margin": MARGIN}
    traces = [{"type": "scatter", **points, **dots}, {"type": "scatter", **_means(places, scores), **dashes}]
    return {"data": traces, "layout": {**layout, "showlegend": False, "hovermode": "closest"}}


def _means(places: Sequence[Any], scores: Sequence[float]) -> dict[str, Any]:
    by_place: dict[Any, list[float]] = {}
    for place, score in sorted(zip(places, scores, strict=True)):
        by_place.setdefault(place, []).append(score)
    means = [statistics.fmean(scores) for scores in by_place.values()]
    return {"mode": "lines+markers", "name": "mean", "x": list(by_place), "y": means}


def _number_scale(values: Sequence[Value]) -> dict[str, Any]:
    distinct = sorted({float(value) for value in values if value is not None})
    ticks = {"tickvals": distinct, "ticktext": [f"{value:.4g}" for value in distinct]}
    return {"type": _scale(values), **(ticks if len(distinct) <= MAX_TICKS else {})}


def _axis(name: str, values: Sequence[Value]) -> dict[str, Any]:
    """An axis of the parallel coordinates; few values, or such as are no numbers, are spread out evenly."""
    numeric = all(_is_number(value) for value in values)
    if numeric and len(set(values)) > MAX_TICKS and _scale(values) == "linear":
        return {"label": name, "values": list(values)}
    order = sorted(set(values), key=_by_size)
    texts = [shown(value) or "none" for value in order]
    places = list(range(0, len(order), max(1, -(-len(order) // MAX_TICKS))))
    found = {value: place for place, value in enumerate(order)}
    ticks = {"tickvals": places, "ticktext": [texts[place] for place in places]}
    return {"label": name, "values": [found[value] for value in values], **ticks}


def _by_size(value: Value) -> tuple[bool, float, str]:
    """Numbers by size, then the rest by name."""
    return (False, float(value), "") if isinstance(value, int | float) else (True, 0.0, str(value))


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scale(values: Sequence[Value]) -> str:
    numbers = [float(value) for value in values if value is not None]
    return "log" if min(numbers) > 0 and max(numbers) / min(numbers) >= LOG_SPAN else "linear"
