"""Directories of runs that anybody may have touched: what reads them reads on, and says one line at most."""

import io
import json
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import strategies as st
from rich.console import Console
from tests.fuzzing.damage import VALUES, Draw, as_json, broken_bytes, no_file, other_value, search

from showtell.errors import UserError
from showtell.leaderboard.build import write_leaderboard
from showtell.run import Run, runs_below
from showtell.sweeps.job import last_line

FILES = ("status.json", "config.yaml", "metrics.csv", "test.scores.json", "predictions/statistics_val.npz", "out.log")


@pytest.mark.parametrize("examples", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_damaged_runs(examples: int, tiny_run: Path, tmp_path: Path) -> None:
    """The other run of the folder stands on the leaderboard whatever was done to this one."""
    scores = {"scores": {"cider": 0.5, "bleu4": 0.2}}
    number = 0

    def attack(draw: Draw) -> None:
        nonlocal number
        number += 1
        folder = tmp_path / f"runs{number}"
        for name in ("hit", "kept"):
            for file in FILES:
                (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
                if (tiny_run / file).is_file():
                    shutil.copy(tiny_run / file, folder / name / file)
            (folder / name / "test.scores.json").write_bytes(as_json(scores))
            (folder / name / "out.log").write_text("line\n")
        for file in draw(st.lists(st.sampled_from(FILES), min_size=1, max_size=2, unique=True)):
            damage(draw, folder / "hit" / file)
        read(folder)
        shutil.rmtree(folder)

    search(examples, attack)


def damage(draw: Draw, path: Path) -> None:
    """Another value in a file, broken bytes, or no file at all."""
    if not path.is_file():
        return
    kind = draw(st.sampled_from(["value", "value", "bytes", "kind"]))
    if kind == "kind":
        no_file(draw, path)
    elif kind == "value" and path.suffix == ".json":
        path.write_bytes(as_json(other_value(draw, json.loads(path.read_bytes()))))
    elif kind == "value" and path.suffix == ".yaml":
        path.write_text(yaml.safe_dump(other_value(draw, yaml.safe_load(path.read_text()))))
    elif kind == "value" and path.suffix == ".csv":
        lines = path.read_text().splitlines()
        place = draw(st.integers(0, len(lines) - 1))
        lines[place] = ",".join(str(draw(VALUES)) for _ in range(draw(st.integers(0, 20))))
        path.write_text("\n".join(lines), errors="replace")
    else:
        path.write_bytes(broken_bytes(draw, path.read_bytes()))


def read(folder: Path) -> None:
    """By all that reads runs."""
    board = write_leaderboard([folder], folder, console=Console(file=io.StringIO(), width=160))
    assert board is not None and any(run.directory.name == "kept" for row in board.rows for run in row.runs)
    run = Run(folder / "hit")
    last_line(run.log_file)
    runs_below(folder)
    try:
        run.config()
    except UserError as error:
        assert "\n" not in str(error)
