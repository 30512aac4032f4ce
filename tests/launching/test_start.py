"""How a rank ends that has failed."""

import subprocess
import sys

import pytest


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
