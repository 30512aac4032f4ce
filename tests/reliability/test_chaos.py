"""A few random disturbances of a sweep; benchmarks/chaos.py makes as many as one has time for."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY


@pytest.mark.slow
def test_every_run_is_its_twin_and_nothing_is_left_behind(tmp_path: Path) -> None:
    words = ["--tries", "6", "--minutes", "20", "--seed", "1", "--folder", str(tmp_path / "chaos")]
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "chaos.py"), *words]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"\b([48]) of \1 runs are their twins; 0 faults", ended.stdout), ended.stdout
