"""What everybody shares who starts processes or is one that was started: signals, exit codes, cores, words to type.

One rule holds for every process that Showtell starts, be it a rank, the supervisor of a sweep's job, or one that
watches a rank: it is told the number of its starter and looks at its parent's. When they differ the starter has gone,
in whatever way, and the process ends itself. So `kill -9` of any of them leaves nothing behind. (Whether a process that
is still there does anything is another question; see `launching.heartbeat`.)

The least memory that a run takes is computed, not tried: a system that promises more than it has ends the process that
uses it by SIGKILL, without a word.
"""

import os
import re
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from showtell.config.plugins import plugin_arguments
from showtell.errors import UserError
from showtell.files import size

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
"""What stops a run after the present step, saved, and a sweep with all its runs."""

COMMAND_VARIABLE = "SHOWTELL_COMMAND"
"""What the user typed, in the environment of every process that came of it: for TensorBoard's Text page."""

PROCESS = 200 << 20
"""Bytes that a process of training takes for its libraries alone."""
_ENDED_WITH_PARENT = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
getattr(ctypes.CDLL(None), "prctl", lambda *_: None)(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""
_CGROUPS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


@contextmanager
def catching(numbers: Iterable[signal.Signals], handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Sends these signals to `handle`, and restores what was there before."""
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(code: int) -> int:
    """An exit code as a shell tells it, 128 + n for a signal; `subprocess` says -n."""
    return code if code >= 0 else 128 - code


def signal_name(code: int) -> str:
    """`SIGTERM` for the exit code 143."""
    try:
        return signal.Signals(code - 128).name
    except ValueError:
        return f"signal {code - 128}"


def train_command(run_dir: Path) -> tuple[str, ...]:
    """The command line that trains the run of a directory, by the script and with the plugins of this process."""
    return sys.executable, str(Path(sys.argv[0]).resolve()), "--run", str(run_dir), *plugin_arguments()


def ended_with_us(command: Iterable[str]) -> list[str]:
    """The command line of a program that Linux kills when the thread that starts it ends, even by SIGKILL."""
    return [sys.executable, "-ISc", _ENDED_WITH_PARENT, str(os.getpid()), *command]


def module_command(module: str, *words: object) -> list[str]:
    """The command line of one of our modules; it wants `module_environment`."""
    return [sys.executable, "-P", "-m", module, *map(str, words)]


def module_environment() -> dict[str, str]:
    """What lets a process that is started find this very Showtell."""
    places = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, places))}


def thread_limits(processes: int) -> dict[str, str]:
    """Cores divided by processes, unless the user has decided: two with all threads each get in each other's way."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # MKL goes by OMP_NUM_THREADS where it has no number of its own
    names = () if "OMP_NUM_THREADS" in os.environ else ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    return {name: str(max(1, cores // processes)) for name in names if name not in os.environ}


def processes_of(session: int) -> Iterator[tuple[int, str]]:
    """The processes of a session, and their states as `ps` tells them; none where there is no /proc."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            state, _, _, owner = entry.read_text(errors="replace").rpartition(")")[2].split()[:4]
            if int(owner) == session:
                yield int(entry.parent.name), state


def program(name: str) -> str:
    """A program of this environment as one types it: its bare name where that is the one found."""
    own = Path(sys.executable).with_name(name)
    return name if shutil.which(name) == str(own) or not own.is_file() else str(shortest(own))


def shortest(path: Path) -> Path:
    """A path to type: relative where it lies under the working directory."""
    path = Path(os.path.abspath(path))
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def free_memory() -> int:
    """Bytes that this process can still use: of the machine with its swap space, of its container and of its limit."""
    machine = _figures(Path("/proc/meminfo"))
    found = [machine["MemAvailable"] + machine.get("SwapFree", 0)] if "MemAvailable" in machine else []
    for most, used in _CGROUPS:
        with suppress(OSError, ValueError):  # "max": no limit
            root = Path("/sys/fs/cgroup")
            found.append(int((root / most).read_text()) - int((root / used).read_text()))
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        found.append(limit - _figures(Path("/proc/self/status")).get("VmSize", 0))
    return max(0, min(found, default=1 << 62))


def refuse_too_large(needed: int, free: int, what: str, remedy: str) -> None:
    """Refuses, by a UserError, what takes more memory than is free; `what` names the setting."""
    if needed > free:
        raise UserError(f"{what}: at least {size(needed)} of memory are needed, {size(free)} are free; {remedy}")


def _figures(file: Path) -> dict[str, int]:
    """The lines `Name:  123 kB` of a file below /proc, in bytes; nothing where there is none."""
    with suppress(OSError):
        return {name: int(number) << 10 for name, number in re.findall(r"(?m)^(\w+):\s+(\d+) kB$", file.read_text())}
    return {}
