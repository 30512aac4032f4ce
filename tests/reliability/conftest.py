"""Runs of the real product in forked children; see forge.py."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import REPOSITORY as ROOT
from tests.conftest import as_words, draw_coco, merged, tiny_settings


def mostly_slow(values: Iterable[Any], every: int) -> list[Any]:
    """Parameters of a test: each `every`-th one belongs to the default suite, all of them to the slow one."""
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)), marks=() if number % every == 0 else pytest.mark.slow
        )
        for number, value in enumerate(values)
    ]


class Forge:
    """Hands jobs to the process that forks."""

    def __init__(self, directory: Path, overrides: dict[str, Any]) -> None:
        self.directory = directory
        self.overrides = overrides
        self.said = ""
        paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HYDRA_FULL_ERROR": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.reliability.forge"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
        )  # fmt: skip

    def job(self, **job: Any) -> int:
        """The exit code of a run; minus the signal's number when one ended it. `said` is what it printed."""
        assert self._process.stdin and self._process.stdout
        log = self.directory / "log.txt"
        self._process.stdin.write(json.dumps({"log": str(log), **job}) + "\n")
        self._process.stdin.flush()
        status = json.loads(self._process.stdout.readline())
        self.said = log.read_text(errors="replace")
        return os.waitstatus_to_exitcode(status)

    def config(self, **sections: Any) -> dict[str, Any]:
        """The tiny run's configuration, changed."""
        return merged(self.overrides, **sections)

    def train(self, run_dir: Path, **options: Any) -> int:
        """`train()` of the tiny run; keyword arguments of a job, and `sections` of the configuration."""
        sections = options.pop("sections", {})
        return self.job(config=self.config(**sections), run_dir=str(run_dir), **options)

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 + 4 pictures."""
    return draw_coco(tmp_path_factory.mktemp("data") / "pictures", train=16, val=4)


@pytest.fixture(scope="session")
def forge(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """The process that forks, and the settings of runs of two epochs with five steps each."""
    settings = tiny_settings(pictures, tmp_path_factory.mktemp("cache"))
    training = {
        "batch_size": 5, "sample_pictures": 1, "learning_rate": 0.01, "checkpoint_every_steps": 1,
        "limit_train_batches": 5,
    }  # fmt: skip
    settings = merged(settings, encoder={"name": "mobilenet_v3_small"}, training=training)
    forge = Forge(tmp_path_factory.mktemp("forge"), settings)
    yield forge
    forge.close()


Words = Callable[..., list[str]]


@pytest.fixture
def words(forge: Forge, tmp_path: Path) -> Words:
    """The tiny run as words of train.py's command line."""

    def make(*more: str, run_dir: Path | None = tmp_path / "run") -> list[str]:
        place = [f"hydra.run.dir={run_dir}"] if run_dir else []
        return [*as_words(forge.overrides), "hydra/job_logging=none", *place, *more]

    return make
