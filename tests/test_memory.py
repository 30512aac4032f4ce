"""Memory: what is free, what is refused beforehand, and what is said of an allocation that fails."""

import resource
import subprocess
import sys

import pytest

from showtell.config import Config
from showtell.errors import UserError, explained
from showtell.processes import free_memory, refuse_too_large
from showtell.training.room import naming_memory

TORCH = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError(f"{TORCH} 68719476736 bytes. Error code 12"), "there is not enough memory for another 68.7 GB; "),
        (MemoryError("Unable to allocate 128. GiB for an array"), "there is not enough memory for another 128 GiB; "),
        (MemoryError(), "there is not enough memory; "),
    ],
)
def test_a_failed_allocation_is_one_line(error: Exception, line: str) -> None:
    assert (explained(error) or "").startswith(line)


def test_in_training_the_line_names_the_settings() -> None:
    line = r"another 68.7 GB with training.batch_size=64, decoder.hidden_size=100"
    with pytest.raises(UserError, match=line), naming_memory(Config()):
        raise RuntimeError(f"{TORCH} 68719476736 bytes.")


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(RuntimeError, match="shapes"), naming_memory(Config()):
        raise RuntimeError("shapes do not fit")


def test_what_is_too_large_is_refused() -> None:
    refuse_too_large(10, 10, "x=1", "make it smaller")
    with pytest.raises(UserError, match="x=1: at least 3 GB of memory are needed, 1 GB are free; make it smaller"):
        refuse_too_large(3 * 10**9, 10**9, "x=1", "make it smaller")


def test_the_limit_of_a_process_counts() -> None:
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({2 << 30}, {2 << 30}));"
        "from showtell.processes import free_memory; print(free_memory())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(found.stdout) < 2 << 30
    assert free_memory() > 0 or resource.getrlimit(resource.RLIMIT_AS)[0] > 0
