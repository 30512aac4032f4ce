"""What is refused before a run starts, and how a rank ends that has failed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY

from showtell.config import Config
from showtell.run import Run


@pytest.mark.parametrize(
    ("fault", "code"), [("ConfigError('no')", 2), ("SystemExit(76)", 76), ("ValueError('a bug')", 1)]
)
def test_a_rank_that_failed_is_not_aborted_by_what_ends_with_it(fault: str, code: int) -> None:
    """As threads of a process group do that is still up."""
    script = f"""
import os
from showtell.config import ConfigError
from showtell.launching.start import leaving_after_errors

class Group:
    def __del__(self):
        os.abort()

group = Group()
with leaving_after_errors():
    raise {fault}
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == code


@pytest.mark.parametrize("name", ["status.json", "checkpoints/last.ckpt", ".job.lock"])
def test_a_pipe_in_a_run_directory_is_one_line_before_any_work(
    tiny_config: Callable[..., Config], tmp_path: Path, name: str
) -> None:
    run = Run(tmp_path / "run")
    run.create(tiny_config())
    run.checkpoints.mkdir()
    os.mkfifo(run.directory / name)
    command = [sys.executable, "train.py", "--run", str(run.directory)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=120)
    assert ended.returncode == 2, ended.stderr
    assert name in ended.stderr and ended.stderr.endswith("; remove it\n") and ended.stderr.count("\n") == 1
