"""Two stages as one run: interrupted in either or between them, a resume of the run leaves the bits of the whole."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.reliability.conftest import Forge, Words
from tests.reliability.outcome import differences, outcome

from showtell.run import Run

KILLED = -9
STEP, CHECKPOINT = "ExactSteps.on_train_batch_end", "ChecksumWriter.write"
STAGES = [
    "training.max_epochs=3", "training.early_stopping_epochs=1", "training.monitor=val/cider",
    "training.monitor_mean=2", "then=scst", "second.training.max_epochs=3", "second.training.limit_train_batches=3",
    "second.training.early_stopping_epochs=2", "second.training.batch_size=5", "second.decoding.beam_size=2",
]  # fmt: skip


class Whole:
    """The run that nobody touched: what its stages leave, and the moments of both, one after the other."""

    def __init__(self, forge: Forge, words: Words, directory: Path) -> None:
        # the first makes the stores: a cold cache has other moments
        assert start(forge, words, directory / "cold") == 0, forge.said
        trace = directory / "trace.json"
        assert start(forge, words, directory / "run", trace=str(trace)) == 0, forge.said
        self.outcomes = outcomes(directory / "run")
        self.moments: list[str] = json.loads(trace.read_text())
        steps = self.outcomes["first"]["status"]["step"]
        own = [place for place, name in enumerate(self.moments) if name == STEP]
        self.last_of_first, self.first_of_second = own[steps - 1], own[steps]

    def place(self, where: str) -> int:
        """The number of a moment before which to strike."""
        if where == "first":
            return self.last_of_first - 20
        if where == "between":  # all is written of the first, nothing of the second
            return self.first_of_second - 5
        if where == "before a checkpoint":
            return self.first_of_second
        written = self.moments.index(CHECKPOINT, self.first_of_second)
        return written + (len(self.moments) - written) * 2 // 3


def outcomes(run_dir: Path) -> dict[str, Any]:
    """Of both stages, wherever the run lies."""
    found = {"first": outcome(run_dir), "second": outcome(run_dir / "second")}
    return dict(json.loads(json.dumps(found).replace(str(run_dir), "RUN")))


def start(forge: Forge, words: Words, run_dir: Path, **job: Any) -> int:
    return forge.job(argv=words(*STAGES, run_dir=run_dir), directory=str(run_dir.parent), **job)


def resume(forge: Forge, run_dir: Path, **job: Any) -> int:
    return forge.job(argv=[f"resume={run_dir}", "hydra/job_logging=none"], directory=str(run_dir.parent), **job)


@pytest.fixture(scope="module")
def whole(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Words], Whole]:
    made: list[Whole] = []

    def get(words: Words) -> Whole:
        if not made:
            made.append(Whole(forge, words, tmp_path_factory.mktemp("whole")))
        return made[0]

    return get


SLOW = [pytest.param(where, marks=pytest.mark.slow) for where in ("first", "before a checkpoint", "second")]


@pytest.mark.parametrize("where", ["between", *SLOW])
def test_killed_in_either_stage_or_between(forge, whole, words, where, tmp_path):
    untouched, run_dir = whole(words), tmp_path / "run"
    assert start(forge, words, run_dir, strike=untouched.place(where)) == KILLED
    assert Run(run_dir).current.is_second == (where == "second")
    assert resume(forge, run_dir) == 0, forge.said
    assert not differences(untouched.outcomes, outcomes(run_dir))
    status = Run(run_dir).status()
    assert status is not None and status.state == "finished"
    assert status.best == untouched.outcomes["second"]["status"]["best"]


def test_a_signal_in_the_second_stage_saves_it_and_the_sweeps_way_goes_on(forge, whole, words, tmp_path):
    untouched, run_dir = whole(words), tmp_path / "run"
    assert start(forge, words, run_dir, strike=untouched.place("second"), signal=signal.SIGTERM) == 143, forge.said
    status = Run(run_dir).status()
    assert status is not None and (status.state, status.then) == ("stopped", "scst")
    assert forge.job(argv=["--run", str(run_dir)], directory=str(tmp_path)) == 0, forge.said
    assert not differences(untouched.outcomes, outcomes(run_dir))
    first = run_dir / "checkpoints" / "last.ckpt"
    assert resume(forge, first) == 2
    assert "its second stage has begun" in forge.said
