"""Runs of the version before settings knew themselves: what it wrote is resumed, captions pictures, is compared.

`old_runs/` was written by commit 2c6136a: two epochs of an LSTM with averaged weights and of soft attention, on twelve
drawn pictures in `old_runs/data`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import showtell
from showtell.leaderboard.compare import compare
from showtell.leaderboard.runs import find_runs
from showtell.run import Run
from showtell.sweeps.job import folder_name

ROOT = Path(__file__).resolve().parents[1]
OLD = Path(__file__).with_name("old_runs")


@pytest.fixture
def old_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, and the working directory is beside it: paths in the old configurations are relative."""
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "words"), [("lstm", []), ("attention", ["decoder.attention_penalty=0.5"])])
def test_an_old_run_goes_on(old_runs: Path, name: str, words: list[str]) -> None:
    command = [sys.executable, str(ROOT / "train.py"), f"resume={name}", "training.max_epochs=3", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert ("decoder.attention_penalty was 0.0 and is 0.5" in done.stdout) == bool(words)
    status = Run(name).status()
    assert status is not None and (status.state, status.epoch) == ("finished", 3)
    assert Run(name).config_file.is_file() and Run(name).config().encoder.pooling in ("average", "quarters")
    assert len(Path(name, "metrics.csv").read_text().splitlines()) > len(
        (OLD / name / "metrics.csv").read_text().splitlines()
    )


@pytest.mark.parametrize(("name", "caption"), [("lstm", " ".join(30 * ["a"])), ("attention", "a.")])
def test_an_old_checkpoint_captions_as_it_did(old_runs: Path, name: str, caption: str) -> None:
    (found,) = showtell.load(old_runs / name / "checkpoints" / "last.ckpt", "cpu").caption(
        ["data/val/val_000000001002.jpg"]
    )
    assert found.captions == (caption,)


def test_old_and_new_runs_are_compared_by_what_differs(old_runs: Path) -> None:
    """Neither an answer that `auto` stood for nor a setting that is new tells an old run from a new one."""
    shutil.copytree("lstm", "again")
    Run("again").accept(Run("lstm").config())
    shutil.rmtree(Path("again", ".hydra"))
    assert Run("lstm").values() == Run("again").values()
    assert compare(find_runs([Path("lstm"), Path("again")])).parameters == []


def test_folders_of_old_sweeps_are_found_again() -> None:
    """Names that commit 2c6136a gave to the same words."""
    words = [
        "experiment=demo",
        "data=custom",
        "decoder=lstm",
        "decoder.hidden_size=6",
        "name=x",
        "cache=c",
        "device=cpu",
    ]
    assert folder_name(words[1:4]) == folder_name(words) == "data-custom__decoder.hidden_size-6__decoder-lstm"
    assert folder_name(["seed=2", "data.root=/d", "training.max_epochs=3"]) == "seed-2"
    assert folder_name([]) == "default"
