"""What is known of a checkpoint's worth, with intervals: from the files that its run left."""

from pathlib import Path
from typing import Any

from showtell.evaluation.resampling import samples
from showtell.evaluation.sums import load_statistics
from showtell.run import Run
from showtell.run.status import read_object

Known = dict[str, Any]
"""`on`: which pictures; `signature`; `scores`: by name `{value, low, high}`, the bounds where there is an interval."""


def known_scores(file: Path) -> list[Known]:
    """Of the test split and of the validation split; of a run's best checkpoint alone, since they are its."""
    run = Run.of(file)
    if file != run.best:
        return []
    return [one for one in (_test(run), _validation(run)) if one]


def _validation(run: Run) -> Known | None:
    status, found = run.stage_status(), load_statistics(run.statistics("val"))
    if status is None:
        return None
    logged = {name.removeprefix("val/"): value for name, value in status.metrics.items() if name.startswith("val/")}
    told = {name: _score(value, None) for name, value in logged.items()}
    if found is None or found.epoch != status.best_epoch:
        return {"on": "validation split", "signature": "", "scores": told} if told else None
    for name, sample in samples([found.sums])[0].items():
        told[name] = _score(sample.value, sample.interval().bounds)
    where = f"validation split, {len(found.picture_ids):,} pictures, after epoch {status.best_epoch}"
    return {"on": where, "signature": found.signature, "scores": told}


def _test(run: Run) -> Known | None:
    try:
        found = read_object(run.test_scores)
        subject, intervals = found["scored_on"], found["intervals"]
        told = {name: _score(value, intervals.get(name)) for name, value in found["scores"].items()}
        where = f"{subject['name']}, {subject['pictures']:,} pictures"
        return {"on": where, "signature": found["signature"], "scores": told} if told else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _score(value: float, bounds: Any) -> dict[str, float]:
    return {"value": value, "low": bounds[0], "high": bounds[1]} if bounds else {"value": value}
