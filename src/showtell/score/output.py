"""The file that `--output` names: what was found, or as a table each picture with its scores."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from showtell.evaluation.resampling import Interval
from showtell.files import write_json, write_text_atomically
from showtell.score.judge import Judgement

SUFFIXES = (".json", ".csv")


def write(found: Judgement, file: Path) -> None:
    """Writes all figures and pictures (.json), or the pictures (.csv)."""
    rows = list(picture_rows(found))
    if file.suffix.lower() == ".json":
        write_json(file, {**_figures(found), "pictures": rows})
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomically(file, text.getvalue())


def picture_rows(found: Judgement) -> Iterator[dict[str, Any]]:
    """A row for each caption: whose it is, of which picture, and what it scores."""
    for system, runs in found.runs.items():
        for run in runs:
            names = found.folds[run.fold].references.names
            for picture, scores in run.scores.pictures.items():
                about = {"system": system, "file": str(run.results.path), "image_id": picture}
                named = {"file_name": names[picture], "caption": run.matched.captions[picture]}
                yield {**about, **named, **scores, "signature": found.folds[run.fold].signature}


def _figures(found: Judgement) -> dict[str, Any]:
    return {
        "references": [
            {"file": str(fold.references.path), "pictures": fold.pictures, "signature": fold.signature}
            for fold in found.folds.values()
        ],
        "systems": {
            name: {"runs": _runs(found, name), "scores": {key: _plain(value) for key, value in scores.items()}}
            for name, scores in found.scores.items()
        },
        "comparisons": {key: [asdict(one) for one in comparisons] for key, comparisons in found.comparisons.items()},
        "notes": list(found.notes),
    }


def _runs(found: Judgement, system: str) -> list[dict[str, Any]]:
    return [
        {
            "file": str(run.results.path),
            "scores": run.scores.corpus,
            "missing": run.matched.missing,
            "surplus": run.matched.surplus,
        }
        for run in found.runs[system]
    ]


def _plain(value: Interval | float) -> Mapping[str, Any]:
    return asdict(value) if isinstance(value, Interval) else {"value": value}
